/* SPDX-License-Identifier: Apache-2.0
 *
 * secrets_harness.c - asks secrets.c for test_secrets.py.
 *
 *   secrets_harness FILE redfish|agent URL [redfish|agent URL]...
 *
 * A line for each question: "USER PASSWORD", "KEY", or "-" when there is none; exit
 * status 1 and the error when the file is refused.
 */
#include "keeper.h"

#include <stdio.h>

static void answer(const mgb_secrets_t *secrets, const char *kind, const char *url)
{
    const char *user = "", *secret = "";

    if (strcmp(kind, "redfish") == 0 &&
        mgb_secrets_redfish(secrets, url, &user, &secret)) {
        printf("%s %s\n", user, secret);
    }
    else if (strcmp(kind, "agent") == 0 && mgb_secrets_agent(secrets, url, &secret)) {
        printf("%s\n", secret);
    }
    else {
        printf("-\n");
    }
}

int main(int argc, char **argv)
{
    mgb_secrets_t *secrets = NULL;
    const char *error = NULL;
    apr_pool_t *p;

    apr_initialize();
    apr_pool_create(&p, NULL);
    if (argc < 2 || mgb_secrets_read(&secrets, argv[1], p, &error) != APR_SUCCESS) {
        printf("%s\n", error ? error : "no file");
        return 1;
    }
    for (int i = 2; i + 1 < argc; i += 2) {
        answer(secrets, argv[i], argv[i + 1]);
        answer(NULL, argv[i], argv[i + 1]); /* without GreenSecrets */
    }
    apr_pool_destroy(p);
    apr_terminate();
    return 0;
}
