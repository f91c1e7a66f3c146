/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_visit.c - hostile Accept, Prefer and Sec-Fetch fields (libFuzzer's entry point).
 *
 * The input is cut at line feeds into the fields.  A preference decides alone; a page
 * needs a waiting page, and a GET with the words text/html in Accept or a HEAD that
 * would be refused without; a field in front of which an element stands that says
 * nothing is read as before.
 */
#define _GNU_SOURCE /* strcasestr */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/gb_visit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* "x, FIELD": the caller frees it. */
static char *behind(const char *element, const char *field)
{
    size_t bytes = strlen(element) + strlen(field) + 2;
    char *text = malloc(bytes);

    if (!text) {
        abort();
    }
    (void)snprintf(text, bytes, "%s,%s", element, field);
    return text;
}

static void check(const gb_visit_t *visit)
{
    gb_visit_e with = gb_visit_class(visit, true);
    gb_visit_e without = gb_visit_class(visit, false);
    gb_visit_t longer = *visit;
    char *accept = behind("image/png;q=0.1", visit->accept);
    char *prefer = behind("handling=\"a,b\";c=d", visit->prefer);

    if (without == GB_VISIT_PAGE || (with != without && with != GB_VISIT_PAGE)) {
        abort();
    }
    if (with == GB_VISIT_PAGE && !strcmp(visit->method, "HEAD")) {
        if (without != GB_VISIT_REFUSE) {
            abort();
        }
    }
    else if (with == GB_VISIT_PAGE && (strcmp(visit->method, "GET") ||
                                       !strcasestr(visit->accept, "text/html"))) {
        abort();
    }
    if (with == GB_VISIT_IGNORE && !strcasestr(visit->prefer, "respond-async")) {
        abort();
    }
    longer.accept = accept;
    longer.prefer = prefer;
    if (gb_visit_class(&longer, false) != without ||
        gb_visit_class(&longer, true) != gb_visit_class(visit, true) ||
        gb_visit_likes_json(accept) != gb_visit_likes_json(visit->accept)) {
        abort();
    }
    free(accept);
    free(prefer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    const char *fields[5] = {"", "", "", "", ""};
    char *at = text, words[32];
    int64_t wait_us = 0;

    if (!text) {
        abort();
    }
    memcpy(text, data, size);
    text[size] = '\0';
    for (size_t i = 0; i < 5 && at; i++) {
        fields[i] = strsep(&at, "\n");
    }
    check(&(gb_visit_t){.method = fields[0],
                        .accept = fields[1],
                        .prefer = fields[2],
                        .fetch_mode = fields[3],
                        .fetch_dest = fields[4]});
    check(&(gb_visit_t){.method = "GET", .accept = fields[0], .prefer = fields[1]});
    memcpy(&wait_us, data, size < sizeof(wait_us) ? size : sizeof(wait_us));
    gb_visit_words(wait_us, words, sizeof(words));
    if (strlen(words) < 10 || gb_visit_seconds(wait_us) < 1) {
        abort();
    }
    free(text);
    return 0;
}
