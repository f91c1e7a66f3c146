/* SPDX-License-Identifier: Apache-2.0
 *
 * commit_page.c - what clients get for their writes: the answerer's own response, the
 * indicator, a page or JSON while the write is under way, and what went wrong.
 *
 * Of a request nothing is put into a page but its id, in letters that no page minds
 * (gb_wire_path_of_id).
 */
#include "commit_child.h"

#include "core/gb_visit.h"
#include "pending_page.h"

#include "http_core.h"
#include "http_protocol.h"
#include "http_request.h"
#include "util_script.h"

#define RETRY_PENDING_S 2u

const char *mgb_commit_text(request_rec *r, const gb_wire_t *reply, gb_wire_tag_e tag)
{
    const gb_span_text_t *field = &reply->field[tag];

    for (size_t i = 0; i < field->bytes; i++) {
        if (field->at[i] < ' ' || field->at[i] > '~') {
            return "";
        }
    }
    return field->at ? apr_pstrmemdup(r->pool, field->at, field->bytes) : "";
}

const char *mgb_commit_escape(apr_pool_t *p, const char *text)
{
    char *escaped = apr_palloc(p, 2 * strlen(text) + 1), *to = escaped;

    for (; *text; text++) {
        if (*text == '"' || *text == '\\') {
            *to++ = '\\';
        }
        *to++ = *text;
    }
    *to = '\0';
    return escaped;
}

const char *mgb_commit_place(request_rec *r, const char *id)
{
    char part[GB_WIRE_PATH_BYTES];

    return gb_wire_path_of_id(part, sizeof part, id)
               ? apr_pstrcat(r->pool, MGB_COMMIT_PATH, part, NULL)
               : MGB_COMMIT_PATH;
}

/* ------------------------------------------------------------------ the indicator */

const char *mgb_commit_cookie_name(apr_pool_t *p, const char *key, bool tls)
{
    uint32_t hash = UINT32_C(2166136261); /* FNV-1a */

    for (; *key; key++) {
        hash = (hash ^ (unsigned char)*key) * UINT32_C(16777619);
    }
    return apr_psprintf(p, "%s" MGB_COOKIE_PREFIX "%08x", tls ? "__Host-" : "", hash);
}

void mgb_commit_headers(request_rec *r, const mgb_balancer_t *b, const gb_wire_t *reply)
{
    const char *field = mgb_commit_text(r, reply, GB_TAG_FIELD);
    const char *token = mgb_commit_text(r, reply, GB_TAG_TOKEN);
    bool tls = strcmp(ap_http_scheme(r), "https") == 0;

    if (*field) {
        apr_table_setn(r->err_headers_out, "Green-Commit", field);
    }
    if (!*token) {
        return;
    }
    apr_table_setn(r->err_headers_out, "Green-Commit-Token", token);
    apr_table_addn(r->err_headers_out, "Set-Cookie",
                   apr_pstrcat(r->pool, mgb_commit_cookie_name(r->pool, b->key, tls),
                               "=", token, "; Path=/", tls ? "; Secure" : "",
                               "; HttpOnly; SameSite=Lax", NULL));
}

/* ------------------------------------------------------------------ the response */

/* Of this connection, or said by us. */
static bool is_skipped(const char *name)
{
    static const char *const ours[] = {
        "connection", "content-length",    "keep-alive", "te",
        "trailer",    "transfer-encoding", "upgrade",    NULL};

    for (int i = 0; ours[i]; i++) {
        if (strcasecmp(name, ours[i]) == 0) {
            return true;
        }
    }
    return strncasecmp(name, "proxy-", 6) == 0 ||
           strncasecmp(name, "green-commit", 12) == 0;
}

static bool is_location(const char *name)
{
    return strcasecmp(name, "Location") == 0 ||
           strcasecmp(name, "Content-Location") == 0 || strcasecmp(name, "URI") == 0 ||
           strcasecmp(name, "Destination") == 0;
}

/* As ProxyPassReverse and its siblings say, and mod_proxy_http does. */
static const char *reverse_map(request_rec *r, proxy_dir_conf *dir, const char *name,
                               const char *value)
{
    /* With interpolated names mod_proxy keeps them where it mapped the request. */
    if (dir->interpolate_env == 1 &&
        !ap_get_module_config(r->request_config, &proxy_module)) {
        return value;
    }
    if (is_location(name)) {
        return ap_proxy_location_reverse_map(r, dir, value);
    }
    if (strcasecmp(name, "Set-Cookie") == 0) {
        return ap_proxy_cookie_reverse_map(r, dir, value);
    }
    return value;
}

static void response_headers(request_rec *r, proxy_dir_conf *dir,
                             const gb_span_text_t *lines)
{
    const char *at = lines->at;
    size_t bytes = lines->bytes;
    gb_span_text_t name, value;

    while (bytes && gb_wire_header(&at, &bytes, &name, &value)) {
        const char *key = apr_pstrmemdup(r->pool, name.at, name.bytes);
        const char *text = apr_pstrmemdup(r->pool, value.at, value.bytes);

        if (is_skipped(key)) {
            continue;
        }
        if (strcasecmp(key, "Content-Type") == 0) {
            ap_set_content_type(r, text);
            continue;
        }
        apr_table_addn(r->headers_out, key, reverse_map(r, dir, key, text));
    }
}

static void served_by(request_rec *r, const gb_wire_t *reply)
{
    const char *url = mgb_commit_text(r, reply, GB_TAG_SERVED_BY);

    if (*url) { /* as mod_proxy_balancer tells its logs and filters */
        apr_table_setn(r->subprocess_env, "BALANCER_WORKER_NAME", url);
    }
}

int mgb_commit_response(request_rec *r, const gb_wire_t *reply, bool stored)
{
    proxy_dir_conf *dir = ap_get_module_config(r->per_dir_config, &proxy_module);
    const gb_span_text_t *body = &reply->field[GB_TAG_BODY];
    uint64_t status = 0;

    (void)gb_wire_number(reply, GB_TAG_STATUS, 4, &status);
    if (status < 200 || status > 599) {
        return mgb_commit_problem(r, HTTP_BAD_GATEWAY, 0,
                                  "The stored answer cannot be read.");
    }
    r->proxyreq = PROXYREQ_REVERSE; /* its Date and Server are the answerer's */
    served_by(r, reply);
    if (reply->field[GB_TAG_HEADERS].at) {
        response_headers(r, dir, &reply->field[GB_TAG_HEADERS]);
    }
    if (stored) {
        apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    }
    if (ap_proxy_should_override(dir, (int)status)) {
        return (int)status;
    }
    r->status = (int)status;
    r->status_line = ap_get_status_line_ex(r->pool, (int)status);
    if (status == HTTP_NO_CONTENT || status == HTTP_RESET_CONTENT ||
        status == HTTP_NOT_MODIFIED) {
        return DONE;
    }
    ap_set_content_length(r, (apr_off_t)body->bytes);
    if (body->bytes) {
        (void)ap_rwrite(body->at, (int)body->bytes, r);
    }
    return DONE;
}

/* ------------------------------------------------------------------ our own words */

static const char *field(const request_rec *r, const char *name)
{
    return apr_table_get(r->headers_in, name);
}

static int text_send(request_rec *r, int status, const char *type, const char *text)
{
    r->status = status;
    r->no_cache = 1;
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    ap_set_content_type(r, type);
    ap_set_content_length(r, (apr_off_t)strlen(text));
    (void)ap_rputs(text, r);
    return DONE;
}

int mgb_commit_problem(request_rec *r, int status, uint32_t retry_s, const char *detail)
{
    if (retry_s > 0) {
        apr_table_setn(r->headers_out, "Retry-After",
                       apr_psprintf(r->pool, "%u", retry_s));
    }
    apr_table_mergen(r->headers_out, "Vary", "Accept");
    if (gb_visit_likes_json(field(r, "Accept"))) {
        return text_send(
            r, status, "application/problem+json",
            apr_psprintf(r->pool,
                         "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,"
                         "\"detail\":\"%s\"}\n",
                         ap_get_status_line(status) + 4, status,
                         mgb_commit_escape(r->pool, detail)));
    }
    return text_send(r, status, "text/plain; charset=utf-8",
                     apr_pstrcat(r->pool, detail, "\n", NULL));
}

/* Is somebody looking, who would see a page? */
static bool likes_page(request_rec *r)
{
    gb_visit_t visit = {.method = "GET", /* a form is sent as a page is loaded */
                        .accept = field(r, "Accept"),
                        .fetch_mode = field(r, "Sec-Fetch-Mode"),
                        .fetch_dest = field(r, "Sec-Fetch-Dest"),
                        .scripted = field(r, "X-Requested-With") != NULL};

    return gb_visit_class(&visit, true) == GB_VISIT_PAGE;
}

static const char *page_fill(apr_pool_t *p, const char *result, const char *seconds)
{
    static const struct {
        const char *name;
        bool is_result;
    } blanks[] = {{"%RESULT%", true}, {"%SECONDS%", false}};
    apr_array_header_t *parts = apr_array_make(p, 16, sizeof(const char *));
    const char *text = (const char *)pending_page, *at = text;

    while ((at = strchr(at, '%')) != NULL) {
        for (size_t i = 0; i < sizeof(blanks) / sizeof(blanks[0]); i++) {
            size_t length = strlen(blanks[i].name);

            if (strncmp(at, blanks[i].name, length) == 0) {
                APR_ARRAY_PUSH(parts, const char *) =
                    apr_pstrmemdup(p, text, (apr_size_t)(at - text));
                APR_ARRAY_PUSH(parts, const char *) =
                    blanks[i].is_result ? result : seconds;
                text = at + length;
                at = text - 1;
                break;
            }
        }
        at++;
    }
    APR_ARRAY_PUSH(parts, const char *) = text;
    return apr_array_pstrcat(p, parts, 0);
}

static const char *state_json(request_rec *r, const gb_wire_t *reply)
{
    const gb_span_text_t *said = &reply->field[GB_TAG_FIELD];
    char *json = apr_palloc(r->pool, 2 * GB_COMMIT_FIELD_BYTES + 2);
    size_t bytes =
        said->at ? gb_wire_json(json, 2 * GB_COMMIT_FIELD_BYTES, said->at, said->bytes)
                 : 0;

    if (!bytes) {
        return "{}\n";
    }
    json[bytes] = '\n';
    json[bytes + 1] = '\0';
    return json;
}

int mgb_commit_pending(request_rec *r, int status, const char *id,
                       const gb_wire_t *reply)
{
    const char *place = mgb_commit_place(r, id), *seconds;
    uint64_t retry_s;

    if (!gb_wire_number(reply, GB_TAG_RETRY, 4, &retry_s) || retry_s == 0) {
        retry_s = RETRY_PENDING_S;
    }
    seconds = apr_psprintf(r->pool, "%u", (uint32_t)retry_s);
    apr_table_setn(r->headers_out, "Location", place);
    apr_table_setn(r->headers_out, "Retry-After", seconds);
    if (status != HTTP_ACCEPTED) {
        return mgb_commit_problem(
            r, status, (uint32_t)retry_s,
            apr_psprintf(r->pool,
                         "The write is stored, but too few servers have confirmed it "
                         "so far; it goes on. Ask for it at %s, or repeat it with "
                         "Idempotency-Key: \"%s\".",
                         place, mgb_commit_escape(r->pool, id)));
    }
    apr_table_mergen(r->headers_out, "Vary",
                     "Accept, Sec-Fetch-Mode, Sec-Fetch-Dest, X-Requested-With");
    if (!likes_page(r)) {
        return text_send(r, status, "application/json", state_json(r, reply));
    }
    apr_table_setn(r->headers_out, "Content-Security-Policy",
                   "default-src 'none'; style-src " PENDING_STYLE
                   "; img-src data:; base-uri 'none'; form-action 'none'");
    return text_send(
        r, status, "text/html; charset=utf-8",
        page_fill(r->pool, apr_pstrcat(r->pool, place, "/result", NULL), seconds));
}

int mgb_commit_state(request_rec *r, const gb_wire_t *reply)
{
    return text_send(r, HTTP_OK, "application/json", state_json(r, reply));
}
