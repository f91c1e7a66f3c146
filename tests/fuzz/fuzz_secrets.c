/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_secrets.c - hostile lines of the secrets file (libFuzzer's entry point).
 *
 * A line that is accepted has words within their bounds and an address that reads as
 * itself; one that is refused leaves nothing behind.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/gb_secrets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_ipmi(const gb_secret_t *secret)
{
    gb_address_t address;
    char again[GB_ADDRESS_BYTES];
    size_t user = strnlen(secret->user, sizeof secret->user);
    size_t password = strnlen(secret->password, sizeof secret->password);

    if (user < 1 || user > GB_SECRET_IPMI_USER_MOST || password < 1 ||
        password > GB_SECRET_IPMI_PASSWORD_MOST ||
        !gb_parse_address(secret->bmc, 1, &address)) {
        abort();
    }
    gb_parse_write_address(&address, again);
    if (strcmp(again, secret->bmc) != 0) {
        abort();
    }
}

static void check_redfish(const gb_secret_t *secret)
{
    char again[GB_URL_BYTES];

    if (!gb_parse_url(secret->url, again) || strcmp(again, secret->url) != 0 ||
        !gb_parse_printable(secret->user, 1, GB_SECRET_USER_MOST) ||
        !gb_parse_printable(secret->password, 1, GB_SECRET_PASSWORD_MOST)) {
        abort();
    }
}

static void check_agent(const gb_secret_t *secret)
{
    char again[GB_ORIGIN_BYTES];

    if (!gb_parse_origin(secret->server, again) || strcmp(again, secret->server) != 0 ||
        !gb_parse_printable(secret->password, GB_SECRET_KEY_LEAST,
                            GB_SECRET_PASSWORD_MOST) ||
        secret->user[0] != '\0') {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const gb_secret_t zero;
    gb_secret_t secret;
    char *line = malloc(size ? size : 1);
    const char *error;

    if (!line) {
        return 0;
    }
    if (size) {
        memcpy(line, data, size);
    }
    memset(&secret, 0x55, sizeof secret);
    error = gb_secrets_read_line(line, size, &secret);
    free(line);
    if ((error || secret.kind == GB_SECRET_NONE) &&
        memcmp(&secret, &zero, sizeof zero) != 0) {
        abort();
    }
    if (!error && secret.kind == GB_SECRET_IPMI) {
        check_ipmi(&secret);
    }
    if (!error && secret.kind == GB_SECRET_REDFISH) {
        check_redfish(&secret);
    }
    if (!error && secret.kind == GB_SECRET_AGENT) {
        check_agent(&secret);
    }
    return 0;
}
