/* SPDX-License-Identifier: Apache-2.0
 *
 * What a client asked a simulated server for: see README.md for the words of a query.
 */
#include "request.h"

#include "number.h"

#include <stdio.h>
#include <string.h>

#define BYTES_MAX (1L << 40)

static bool parse_query(request_t *request, char *query)
{
    char *pair;

    while ((pair = strsep(&query, "&"))) {
        bool good = true;

        if (strncmp(pair, "ms=", 3) == 0) {
            good = number_parse_double(pair + 3, 0, 3600e3, &request->ms);
        }
        else if (strncmp(pair, "bytes=", 6) == 0) {
            good = number_parse_long(pair + 6, 0, BYTES_MAX, &request->bytes);
        }
        else if (strncmp(pair, "slow=", 5) == 0) {
            good = number_parse_double(pair + 5, 0, 3600, &request->slow);
        }
        else if (strncmp(pair, "events=", 7) == 0) {
            good = number_parse_long(pair + 7, 1, 1000000, &request->events);
        }
        else if (strncmp(pair, "every=", 6) == 0) {
            good = number_parse_double(pair + 6, 1, 3600e3, &request->every_ms);
        }
        else if (strncmp(pair, "session=", 8) == 0) {
            good = strlen(pair + 8) < sizeof request->session;
            snprintf(request->session, sizeof request->session, "%.31s", pair + 8);
        }
        if (!good) {
            return false;
        }
    }
    return true;
}

bool request_parse(request_t *request, http1_body_t *body, const char *head,
                   size_t head_length)
{
    char line[2048];
    char target[2048];
    char value[128];
    char *query;
    int minor;
    size_t line_length = strcspn(head, "\r");

    memset(request, 0, sizeof *request);
    request->ms = -1;
    request->bytes = -1;
    request->events = -1;
    request->every_ms = 100;
    if (line_length >= sizeof line) {
        return false;
    }
    memcpy(line, head, line_length);
    line[line_length] = '\0';
    if (sscanf(line, "%15s %2047s HTTP/1.%1d", request->method, target, &minor) != 3) {
        return false;
    }
    query = strchr(target, '?');
    if (query) {
        *query++ = '\0';
    }
    snprintf(request->path, sizeof request->path, "%.255s", target);
    request->keep_alive = minor > 0;
    if (http1_header(head, head_length, "Connection", value, sizeof value)) {
        request->keep_alive = minor > 0 ? !http1_list_has(value, "close")
                                        : http1_list_has(value, "keep-alive");
    }
    if (http1_header(head, head_length, "Upgrade", value, sizeof value) &&
        http1_list_has(value, "websocket") &&
        !http1_header(head, head_length, "Sec-WebSocket-Key", request->websocket,
                      sizeof request->websocket)) {
        return false;
    }
    return http1_body_begin(body, head, head_length, HTTP1_NO_BODY) &&
           (!query || parse_query(request, query));
}
