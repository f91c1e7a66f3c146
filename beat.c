/* SPDX-License-Identifier: Apache-2.0
 *
 * beat.c - handler greenbalance-beat: takes the agents' signed heartbeats.
 *
 * Runs in httpd's children, which hold no key: a heartbeat goes on to the keeper as it
 * came, and the keeper's signed answer goes back as it is.  Nothing here says why one
 * was refused.  The thread of the request waits for the keeper, at most two seconds;
 * docs/agent.md.
 */
#include "mailbox.h"

#include "http_protocol.h"

#include "core/gb_beat.h"

#define HANDLER   "greenbalance-beat"
#define BODY_MOST 4096

_Static_assert(GB_BEAT_BYTES <= MGB_MAIL_BYTES, "a heartbeat fits into a letter");

/* Reads the whole body; APR's and httpd's limits and time-outs are in force. */
static int read_body(request_rec *r, char body[BODY_MOST], size_t *bytes)
{
    int status = ap_setup_client_block(r, REQUEST_CHUNKED_DECHUNK);

    *bytes = 0;
    if (status != OK) {
        return status;
    }
    if (!ap_should_client_block(r)) {
        return OK;
    }
    for (;;) {
        char more[512];
        long n = ap_get_client_block(r, more, sizeof more);

        if (n < 0) {
            return HTTP_BAD_REQUEST;
        }
        if (n == 0) {
            return OK;
        }
        if ((size_t)n > BODY_MOST - *bytes) {
            return HTTP_REQUEST_ENTITY_TOO_LARGE;
        }
        memcpy(body + *bytes, more, (size_t)n);
        *bytes += (size_t)n;
    }
}

static int unavailable(request_rec *r)
{
    apr_table_setn(r->err_headers_out, "Retry-After", "5");
    return HTTP_SERVICE_UNAVAILABLE;
}

static int pass_on(request_rec *r, const char *body, size_t bytes)
{
    char reply[MGB_MAIL_BYTES];
    size_t length;

    if (!mgb_context) {
        return unavailable(r);
    }
    switch (mgb_mailbox_ask(mgb_context->shared, body, bytes, reply, &length)) {
    case MGB_MAIL_ANSWERED:
        break;
    case MGB_MAIL_REFUSED:
        return HTTP_FORBIDDEN;
    case MGB_MAIL_AWAY:
    case MGB_MAIL_FULL:
    default:
        return unavailable(r);
    }
    ap_set_content_type(r, "text/plain");
    ap_set_content_length(r, (apr_off_t)length);
    ap_rwrite(reply, (int)length, r);
    return OK;
}

static int beat_handler(request_rec *r)
{
    uint8_t mac[GB_BEAT_MAC_BYTES];
    char body[BODY_MOST];
    size_t bytes, signed_bytes;
    gb_beat_t beat;
    int status;

    if (!r->handler || strcmp(r->handler, HANDLER) != 0) {
        return DECLINED;
    }
    r->allowed |= AP_METHOD_BIT << M_POST;
    if (r->method_number != M_POST) {
        return HTTP_METHOD_NOT_ALLOWED;
    }
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    status = read_body(r, body, &bytes);
    if (status != OK) {
        return status;
    }
    /* What is no heartbeat at all does not trouble the keeper. */
    if (gb_beat_read(&beat, &signed_bytes, mac, body, bytes)) {
        return HTTP_BAD_REQUEST;
    }
    return pass_on(r, body, bytes);
}

void mgb_beat_register_hooks(apr_pool_t *p)
{
    ap_hook_handler(beat_handler, NULL, NULL, APR_HOOK_MIDDLE);
}
