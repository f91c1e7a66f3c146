/* SPDX-License-Identifier: Apache-2.0
 *
 * commit_ask.c - questions about writes, below /.well-known/green-commit/:
 *
 *   GET ID           how far it is, as JSON; ?wait=SECONDS: waits until it is met
 *   GET ID/result    the answer that the write got; 202 as long as there is none
 *
 * They are answered in every virtual host that has a balancer with GreenCommit, and
 * there before anybody maps the path.  Who asks has to be who wrote: another one gets
 * 404, as for a write that never was.
 */
#include "commit_child.h"

#include "core/gb_parse.h"

#include "http_core.h"
#include "http_protocol.h"
#include "http_request.h"

#define WAIT_MOST_S       60u
#define RETRY_NO_KEEPER_S 5u

typedef struct question_t {
    request_rec *r;
    char id[GB_COMMIT_ID_BYTES];
    bool result;
    uint32_t wait_s;
} question_t;

/* ------------------------------------------------------------------ is it one? */

/* The balancer at `i` of a virtual host, if it has GreenCommit. */
static const mgb_balancer_t *log_at(const proxy_server_conf *conf, int i)
{
    const proxy_balancer *balancer = &APR_ARRAY_IDX(conf->balancers, i, proxy_balancer);
    const mgb_balancer_t *b = mgb_members_balancer(mgb_context, balancer);

    return b && b->conf->commit.terms.on ? b : NULL;
}

static const proxy_server_conf *conf_of(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &proxy_module);
}

bool mgb_commit_is_question(const request_rec *r)
{
    const proxy_server_conf *conf;

    if (!mgb_context || r->proxyreq != PROXYREQ_NONE || !r->uri ||
        strncmp(r->uri, MGB_COMMIT_PATH, strlen(MGB_COMMIT_PATH)) != 0) {
        return false;
    }
    conf = conf_of(r->server);
    for (int i = 0; i < conf->balancers->nelts; i++) {
        if (log_at(conf, i)) {
            return true;
        }
    }
    return false;
}

static int question_translate(request_rec *r)
{
    if (!mgb_commit_is_question(r)) {
        return DECLINED;
    }
    r->filename = apr_pstrdup(r->pool, r->uri); /* no file: see question_map */
    return OK;
}

/* Before the path is unescaped mod_proxy could take it, too (mapping=encoded). */
static int question_pre_translate(request_rec *r)
{
    return mgb_commit_is_question(r) ? OK : DECLINED;
}

static int question_map(request_rec *r)
{
    return mgb_commit_is_question(r) ? OK : DECLINED;
}

/* ------------------------------------------------------------------ reading it */

static bool place_read(question_t *q)
{
    const char *id = q->r->uri + strlen(MGB_COMMIT_PATH), *slash = strchr(id, '/');

    q->result = slash != NULL;
    if (slash && strcmp(slash, "/result") != 0) {
        return false;
    }
    return gb_wire_id_of_path(id, slash ? (size_t)(slash - id) : strlen(id), q->id);
}

static bool wait_read(question_t *q)
{
    char *args = q->r->args ? apr_pstrdup(q->r->pool, q->r->args) : NULL, *state;

    for (const char *arg = args ? apr_strtok(args, "&", &state) : NULL; arg;
         arg = apr_strtok(NULL, "&", &state)) {
        if (strncmp(arg, "wait=", 5) == 0 &&
            !gb_parse_count(arg + 5, 0, WAIT_MOST_S, &q->wait_s)) {
            return false;
        }
    }
    return true;
}

/* ------------------------------------------------------------------ asking */

static mgb_talk_e ask(const question_t *q, const mgb_balancer_t *b, gb_wire_t *reply)
{
    gb_wire_t frame = {.type = GB_WIRE_ASK};
    const char *user = mgb_commit_principal(q->r);
    char wait[8];
    bool again;

    frame.field[GB_TAG_LOG] = gb_wire_span(b->key);
    frame.field[GB_TAG_ID] = gb_wire_span(q->id);
    frame.field[GB_TAG_PRINCIPAL] = gb_wire_span(user);
    gb_wire_set_number(&frame, GB_TAG_WAIT, wait, sizeof wait,
                       (uint64_t)(q->wait_s * GB_US_PER_S));
    if (q->result) {
        frame.field[GB_TAG_RESULT] = (gb_span_text_t){"\1", 1};
    }
    return mgb_commit_talk(q->r, &frame, q->wait_s * GB_US_PER_S + MGB_TALK_AWAY_US,
                           reply, &again);
}

/* Asks the balancer's log.  True: it is answered, by *rc; false: the log does not know
 * it, or (*unsure) cannot be asked now. */
static bool answered_by(const question_t *q, const mgb_balancer_t *b, int *rc,
                        bool *unsure)
{
    request_rec *r = q->r;
    gb_wire_t reply;
    uint64_t says = 0;
    mgb_talk_e how = ask(q, b, &reply);

    if (how == MGB_TALK_GONE) {
        r->connection->aborted = 1;
        *rc = HTTP_SERVICE_UNAVAILABLE; /* nobody reads it */
        return true;
    }
    if (how == MGB_TALK_ANSWERED) {
        (void)gb_wire_number(&reply, GB_TAG_SAYS, 1, &says);
    }
    switch (says) {
    case GB_SAYS_NOBODY:
        return false;
    case GB_SAYS_EXPIRED:
        *rc = mgb_commit_problem(r, HTTP_GONE, 0,
                                 "This write was done; its answer is not kept any "
                                 "more.");
        return true;
    case GB_SAYS_DONE:
        mgb_commit_headers(r, b, &reply);
        *rc = q->result ? mgb_commit_response(r, &reply, true)
                        : mgb_commit_state(r, &reply);
        return true;
    case GB_SAYS_LATE:
        mgb_commit_headers(r, b, &reply);
        *rc = q->result ? mgb_commit_pending(r, HTTP_ACCEPTED, q->id, &reply)
                        : mgb_commit_state(r, &reply);
        return true;
    default:
        *unsure = true;
        return false;
    }
}

int mgb_commit_answer_question(request_rec *r)
{
    const proxy_server_conf *conf = conf_of(r->server);
    question_t q = {.r = r};
    bool unsure = false, known;
    int rc;

    if (r->method_number != M_GET) { /* HEAD is one, too */
        apr_table_setn(r->headers_out, "Allow", "GET, HEAD");
        return mgb_commit_problem(r, HTTP_METHOD_NOT_ALLOWED, 0,
                                  "Writes are asked for by GET.");
    }
    if (!wait_read(&q)) {
        return mgb_commit_problem(r, HTTP_BAD_REQUEST, 0,
                                  "wait= is a number of seconds from 0 to 60.");
    }
    known = mgb_commit_principal(r) && place_read(&q);
    for (int i = 0; known && i < conf->balancers->nelts; i++) {
        const mgb_balancer_t *b = log_at(conf, i);

        if (b && answered_by(&q, b, &rc, &unsure)) {
            return rc;
        }
    }
    if (unsure) {
        return mgb_commit_problem(r, HTTP_SERVICE_UNAVAILABLE, RETRY_NO_KEEPER_S,
                                  "It cannot be looked up now: ask again later.");
    }
    return mgb_commit_problem(r, HTTP_NOT_FOUND, 0,
                              "There is no such write of yours here.");
}

void mgb_questions_register_hooks(apr_pool_t *p)
{
    ap_hook_pre_translate_name(question_pre_translate, NULL, NULL,
                               APR_HOOK_REALLY_FIRST);
    ap_hook_translate_name(question_translate, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_map_to_storage(question_map, NULL, NULL, APR_HOOK_REALLY_FIRST);
}
