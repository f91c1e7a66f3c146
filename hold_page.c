/* SPDX-License-Identifier: Apache-2.0
 *
 * hold_page.c - what a client gets while no server can take its request.
 *
 * The waiting page is web/waiting.html, or the file of GreenHold page=PATH.  Both are
 * cut at their placeholders once, in the parent; a request puts its numbers between the
 * pieces.  Nothing of a request is ever put into an answer.
 *
 * The answer is written here, and the pre_request hook returns DONE: then mod_proxy
 * leaves at once, and an ErrorDocument is not looked at.  With 503 returned it would
 * win over everything that was written.
 */
#include "hold_page.h"

#include "core/gb_visit.h"
#include "waiting_page.h"

#include "http_core.h"
#include "mod_core.h"
#include "http_protocol.h"
#include "http_request.h"

#define HOPELESS_S 60u /* nobody asks more often while nothing can be woken */
/* Without a script the page is loaded anew so often; a page counts as demand for 30 s,
 * so each waiting visitor goes on counting. */
#define RELOAD_LEAST_S 2u
#define RELOAD_MOST_S  15u

/* ------------------------------------------------------------------ pages in pieces */

typedef enum blank_e {
    BLANK_NONE = 0, /* the end of the page */
    BLANK_USUAL_SECONDS,
    BLANK_READY_SECONDS,
    BLANK_RETRY_SECONDS,
    BLANK_RELOAD_SECONDS,
    BLANK_DONE_SECONDS, /* of the usual time have passed */
    BLANK_USUAL_WORDS,
    BLANK_READY_WORDS,
    BLANK_TITLE,
    BLANK_VALUE,    /* of the progress bar; none while nothing is known */
    BLANK_HOPELESS, /* 1, or nothing */
    BLANK_HIDE_WAIT,
    BLANK_HIDE_USUAL,
    BLANK_HIDE_READY,
    BLANK_HIDE_HOPELESS,
    BLANK_COUNT
} blank_e;

static const char *const blank_names[BLANK_COUNT] = {
    [BLANK_USUAL_SECONDS] = "%USUAL_SECONDS%",
    [BLANK_READY_SECONDS] = "%READY_SECONDS%",
    [BLANK_RETRY_SECONDS] = "%RETRY_SECONDS%",
    [BLANK_RELOAD_SECONDS] = "%RELOAD_SECONDS%",
    [BLANK_DONE_SECONDS] = "%DONE_SECONDS%",
    [BLANK_USUAL_WORDS] = "%USUAL_WORDS%",
    [BLANK_READY_WORDS] = "%READY_WORDS%",
    [BLANK_TITLE] = "%TITLE%",
    [BLANK_VALUE] = "%VALUE%",
    [BLANK_HOPELESS] = "%HOPELESS%",
    [BLANK_HIDE_WAIT] = "%HIDE_WAIT%",
    [BLANK_HIDE_USUAL] = "%HIDE_USUAL%",
    [BLANK_HIDE_READY] = "%HIDE_READY%",
    [BLANK_HIDE_HOPELESS] = "%HIDE_HOPELESS%",
};

/* Text, and the blank behind it. */
typedef struct piece_t {
    const char *text;
    apr_size_t bytes;
    blank_e blank;
} piece_t;

/* pconf; written in post_config alone, so threads read them without a lock. */
static apr_array_header_t *own_page; /* piece_t */
static apr_hash_t *file_pages;       /* path -> apr_array_header_t* of piece_t */

static blank_e blank_at(const char *text, apr_size_t bytes)
{
    for (int i = 1; i < BLANK_COUNT; i++) {
        apr_size_t length = strlen(blank_names[i]);

        if (length <= bytes && !memcmp(text, blank_names[i], length)) {
            return (blank_e)i;
        }
    }
    return BLANK_NONE;
}

/* The text has to live as long as the pool. */
static apr_array_header_t *page_cut(apr_pool_t *p, const char *text, apr_size_t bytes)
{
    apr_array_header_t *pieces = apr_array_make(p, 16, sizeof(piece_t));
    apr_size_t begin = 0;

    for (apr_size_t i = 0; i < bytes;) {
        blank_e blank = text[i] == '%' ? blank_at(text + i, bytes - i) : BLANK_NONE;

        if (blank == BLANK_NONE) {
            i++;
            continue;
        }
        APR_ARRAY_PUSH(pieces, piece_t) = (piece_t){text + begin, i - begin, blank};
        i += strlen(blank_names[blank]);
        begin = i;
    }
    APR_ARRAY_PUSH(pieces, piece_t) =
        (piece_t){text + begin, bytes - begin, BLANK_NONE};
    return pieces;
}

/* ------------------------------------------------------------------ files, parent */

static apr_status_t file_read(apr_pool_t *p, const char *path, char **text,
                              apr_size_t *bytes)
{
    apr_file_t *file;
    apr_finfo_t info;
    apr_status_t rv = apr_file_open(&file, path, APR_READ, APR_FPROT_OS_DEFAULT, p);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = apr_file_info_get(&info, APR_FINFO_SIZE | APR_FINFO_TYPE, file);
    if (rv == APR_SUCCESS && info.filetype != APR_REG) {
        rv = APR_EINVAL;
    }
    else if (rv == APR_SUCCESS && info.size > MGB_PAGE_BYTES_MOST) {
        rv = APR_ENOSPC;
    }
    if (rv == APR_SUCCESS) {
        *bytes = (apr_size_t)info.size;
        *text = apr_palloc(p, *bytes + 1);
        rv = apr_file_read_full(file, *text, *bytes, bytes);
        if (APR_STATUS_IS_EOF(rv)) { /* empty, or cut off meanwhile */
            rv = *bytes > 0 ? APR_SUCCESS : rv;
        }
    }
    (void)apr_file_close(file);
    return rv;
}

static void file_take(apr_pool_t *pconf, server_rec *s, const char *path)
{
    char *text;
    apr_size_t bytes;
    apr_status_t rv;

    if (apr_hash_get(file_pages, path, APR_HASH_KEY_STRING)) {
        return;
    }
    rv = file_read(pconf, path, &text, &bytes);
    if (rv == APR_SUCCESS && bytes > 0) {
        apr_hash_set(file_pages, path, APR_HASH_KEY_STRING,
                     page_cut(pconf, text, bytes));
        return;
    }
    ap_log_error(APLOG_MARK, APLOG_WARNING, rv, s,
                 GBLOGNO(1051) "GreenHold page=%s cannot be used, the module's own "
                               "waiting page is sent instead: it has to be a file that "
                               "can be read, is not empty and at most %d KiB long",
                 path, MGB_PAGE_BYTES_MOST / 1024);
}

/* Once at each (re)start; a path of several balancers is read, and warned of, once. */
static int pages_read(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                      server_rec *s)
{
    const mgb_context_t *ctx = mgb_context;

    own_page = NULL;
    file_pages = NULL;
    if (!ctx) {
        return OK;
    }
    file_pages = apr_hash_make(pconf);
    own_page = page_cut(pconf, (const char *)waiting_page, sizeof(waiting_page) - 1);
    for (int i = 0; i < ctx->balancers->nelts; i++) {
        const mgb_hold_conf_t *hold =
            &APR_ARRAY_IDX(ctx->balancers, i, mgb_balancer_t).conf->hold;

        if (hold->page && hold->page_file) {
            file_take(pconf, s, hold->page_file);
        }
    }
    return OK;
}

void mgb_page_register_hooks(apr_pool_t *p)
{
    static const char *const after[] = {"mod_greenbalance.c", NULL};

    ap_hook_post_config(pages_read, after, NULL, APR_HOOK_REALLY_LAST);
}

/* ------------------------------------------------------------------ the class */

/* Is it true that this request must not wake a server? */
static bool is_ignored(request_rec *r, const mgb_hold_conf_t *conf)
{
    static uint32_t told;
    const char *error = NULL;
    int found;

    if (!conf->ignore) {
        return false;
    }
    found = ap_expr_exec(r, conf->ignore, &error);
    if ((found < 0 || error) && !__atomic_exchange_n(&told, 1, __ATOMIC_RELAXED)) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      GBLOGNO(1052) "GreenWakeIgnore cannot be evaluated and counts as "
                                    "false, for this request and all like it: %s",
                      error ? error : "no reason is known");
    }
    return found > 0 && !error;
}

/* httpd looks for its ErrorDocument behind the proxy, where nobody is awake. */
static bool is_error_document(const request_rec *r)
{
    return r->prev && r->prev->status == HTTP_SERVICE_UNAVAILABLE;
}

static const char *field(const request_rec *r, const char *name)
{
    return apr_table_get(r->headers_in, name);
}

static gb_visit_e class_of(const request_rec *r, bool page)
{
    gb_visit_t visit = {
        .method = r->method,
        .accept = field(r, "Accept"),
        .prefer = field(r, "Prefer"),
        .fetch_mode = field(r, "Sec-Fetch-Mode"),
        .fetch_dest = field(r, "Sec-Fetch-Dest"),
        .scripted = field(r, "X-Requested-With") != NULL,
        .partial = field(r, "Range") != NULL || field(r, "Upgrade") != NULL,
    };

    return gb_visit_class(&visit, page);
}

mgb_visit_e mgb_page_classify(request_rec *r, const mgb_hold_conf_t *conf)
{
    if (is_error_document(r) || is_ignored(r, conf)) {
        return MGB_VISIT_IGNORE;
    }
    switch (class_of(r, conf->page && !r->main)) {
    case GB_VISIT_PAGE:
        return MGB_VISIT_PAGE;
    case GB_VISIT_REFUSE:
        return MGB_VISIT_REFUSE;
    case GB_VISIT_IGNORE:
        return MGB_VISIT_IGNORE;
    default:
        return MGB_VISIT_HOLD;
    }
}

/* ------------------------------------------------------------------ the answer */

/* The outlook as it is told, in whole seconds. */
typedef struct told_t {
    uint32_t usual_s, ready_s, retry_s, reload_s, done_s; /* ready_s 0: unknown */
    bool usual_known, hopeless;
} told_t;

static told_t outlook_tell(const mgb_outlook_t *outlook)
{
    told_t told = {.usual_s = gb_visit_seconds(outlook->usual_us),
                   .retry_s = gb_visit_seconds(outlook->retry_us),
                   .usual_known = outlook->usual_us > 0,
                   .hopeless = outlook->hopeless};

    if (told.hopeless) {
        told.retry_s = told.retry_s > HOPELESS_S ? told.retry_s : HOPELESS_S;
        told.reload_s = told.retry_s;
        return told;
    }
    told.reload_s = RELOAD_MOST_S;
    if (outlook->ready_us > 0) {
        told.ready_s = gb_visit_seconds(outlook->ready_us);
        told.usual_s = told.usual_known ? told.usual_s : told.ready_s;
        told.done_s = told.usual_s > told.ready_s ? told.usual_s - told.ready_s : 0;
        if (told.ready_s < RELOAD_MOST_S) {
            told.reload_s =
                told.ready_s > RELOAD_LEAST_S ? told.ready_s : RELOAD_LEAST_S;
        }
    }
    return told;
}

static const char *words(apr_pool_t *p, uint32_t seconds)
{
    char text[32];

    gb_visit_words((int64_t)seconds * GB_US_PER_S, text, sizeof(text));
    return apr_pstrdup(p, text);
}

static const char *blank_fill(apr_pool_t *p, blank_e blank, const told_t *told)
{
    switch (blank) {
    case BLANK_USUAL_SECONDS:
        return apr_psprintf(p, "%u", told->usual_s);
    case BLANK_READY_SECONDS:
        return apr_psprintf(p, "%u", told->ready_s);
    case BLANK_RETRY_SECONDS:
        return apr_psprintf(p, "%u", told->retry_s);
    case BLANK_RELOAD_SECONDS:
        return apr_psprintf(p, "%u", told->reload_s);
    case BLANK_DONE_SECONDS:
        return apr_psprintf(p, "%u", told->done_s);
    case BLANK_USUAL_WORDS:
        return words(p, told->usual_s);
    case BLANK_READY_WORDS:
        return words(p, told->ready_s);
    case BLANK_TITLE:
        return told->hopeless ? "The server cannot be started now"
                              : "The server is being started";
    case BLANK_VALUE:
        return told->ready_s ? apr_psprintf(p, " value=\"%u\"", told->done_s) : "";
    case BLANK_HOPELESS:
        return told->hopeless ? "1" : "";
    case BLANK_HIDE_WAIT:
        return told->hopeless ? " hidden" : "";
    case BLANK_HIDE_USUAL:
        return told->usual_known ? "" : " hidden";
    case BLANK_HIDE_READY:
        return told->ready_s ? "" : " hidden";
    case BLANK_HIDE_HOPELESS:
        return told->hopeless ? "" : " hidden";
    default:
        return "";
    }
}

static void page_write(request_rec *r, const apr_array_header_t *pieces,
                       const told_t *told)
{
    const char *blanks[BLANK_COUNT];
    apr_off_t bytes = 0;

    for (int i = 0; i < BLANK_COUNT; i++) {
        blanks[i] = blank_fill(r->pool, (blank_e)i, told);
    }
    for (int i = 0; i < pieces->nelts; i++) {
        const piece_t *piece = &APR_ARRAY_IDX(pieces, i, piece_t);

        bytes += (apr_off_t)(piece->bytes + strlen(blanks[piece->blank]));
    }
    ap_set_content_type(r, "text/html; charset=utf-8");
    ap_set_content_length(r, bytes);
    for (int i = 0; i < pieces->nelts; i++) {
        const piece_t *piece = &APR_ARRAY_IDX(pieces, i, piece_t);

        (void)ap_rwrite(piece->text, (int)piece->bytes, r);
        (void)ap_rputs(blanks[piece->blank], r);
    }
}

/* The page of this balancer; *own: it is the module's. */
static const apr_array_header_t *page_of(const mgb_hold_conf_t *conf, bool *own)
{
    const apr_array_header_t *pieces =
        conf->page_file && file_pages
            ? apr_hash_get(file_pages, conf->page_file, APR_HASH_KEY_STRING)
            : NULL;

    *own = pieces == NULL;
    return pieces ? pieces : own_page;
}

static const char *sentence(apr_pool_t *p, mgb_visit_e visit, const told_t *told)
{
    if (visit == MGB_VISIT_IGNORE) {
        return "No server is awake, and this request does not wake one.";
    }
    if (told->hopeless) {
        return "The server cannot be started now. Please try again later.";
    }
    return apr_psprintf(p, "The server is being started. Please try again in %s.",
                        words(p, told->retry_s));
}

static void text_write(request_rec *r, mgb_visit_e visit, const told_t *told)
{
    const char *text = sentence(r->pool, visit, told);

    if (gb_visit_likes_json(field(r, "Accept"))) {
        ap_set_content_type(r, "application/problem+json");
        text = apr_psprintf(r->pool,
                            "{\"type\":\"about:blank\",\"title\":\"Service "
                            "Unavailable\",\"status\":503,\"detail\":\"%s\"}",
                            text);
    }
    else {
        ap_set_content_type(r, "text/plain; charset=utf-8");
    }
    ap_set_content_length(r, (apr_off_t)strlen(text) + 1);
    (void)ap_rvputs(r, text, "\n", NULL);
}

static void headers_set(request_rec *r, apr_table_t *headers, const told_t *told)
{
    apr_table_setn(headers, "Retry-After", apr_psprintf(r->pool, "%u", told->retry_s));
    apr_table_setn(headers, "Cache-Control", "no-store");
    apr_table_mergen(headers, "Vary", "Accept, Prefer, Sec-Fetch-Mode, Sec-Fetch-Dest");
    /* By this, and 503, the waiting page knows our answer from a server's. */
    switch (class_of(r, false)) {
    case GB_VISIT_IGNORE:
        apr_table_setn(headers, "Preference-Applied", "respond-async");
        break;
    case GB_VISIT_REFUSE:
        apr_table_setn(headers, "Preference-Applied", "wait=0");
        break;
    default:
        break;
    }
}

/* Has the administrator something to say to those who are refused?  Not to the waiting
 * page's questions: it would take a redirect for the server's answer. */
static bool has_error_document(request_rec *r, mgb_visit_e visit)
{
    return (visit == MGB_VISIT_REFUSE || visit == MGB_VISIT_HOLD) &&
           class_of(r, false) == GB_VISIT_HOLD && !is_error_document(r) &&
           ap_response_code_string(r, ap_index_of_response(HTTP_SERVICE_UNAVAILABLE)) !=
               NULL;
}

int mgb_page_answer(request_rec *r, const mgb_hold_conf_t *conf, mgb_visit_e visit,
                    const mgb_outlook_t *outlook)
{
    told_t told = outlook_tell(outlook);
    const apr_array_header_t *pieces = NULL;
    bool own = false;

    if (r->main || has_error_document(r, visit)) {
        headers_set(r, r->err_headers_out, &told);
        return HTTP_SERVICE_UNAVAILABLE;
    }
    /* An ErrorDocument shares this table with the request that led to it. */
    apr_table_unset(r->err_headers_out, "Retry-After");
    apr_table_unset(r->err_headers_out, "Cache-Control");
    apr_table_unset(r->err_headers_out, "Vary");
    r->status = HTTP_SERVICE_UNAVAILABLE;
    r->no_cache = 1;
    headers_set(r, r->headers_out, &told);
    if (visit == MGB_VISIT_PAGE) {
        pieces = page_of(conf, &own);
    }
    if (!pieces) {
        text_write(r, visit, &told);
        return DONE;
    }
    if (own) {
        apr_table_setn(r->headers_out, "Content-Security-Policy",
                       "default-src 'none'; style-src " WAITING_STYLE
                       "; script-src " WAITING_SCRIPT
                       "; connect-src 'self'; img-src data:; base-uri 'none'; "
                       "form-action 'none'");
    }
    page_write(r, pieces, &told);
    return DONE;
}
