/* SPDX-License-Identifier: Apache-2.0
 *
 * mod_greenbalance.c - the module record and the start of everything; no policy.
 *
 * At each (re)start the parent binds the configuration to the shared segment and forks
 * a new keeper.  When no balancer uses anything of ours, and no machine sleeps that an
 * earlier configuration put to sleep, nothing is made and nothing runs.
 */
#define MGB_MODULE_FILE
#include "mod_greenbalance.h"
#include "hold_page.h"
#include "keeper.h"
#include "mailbox.h"

#include "ap_mpm.h"
#include "http_main.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

mgb_context_t *mgb_context;

#define BALANCERS_LEAST 16
#define MEMBERS_LEAST   64

static uint32_t processes_room(void)
{
    int most = 0;

    /* Draining children of old generations have rows of their own beside the new ones,
     * and so have keepers. */
    if (ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &most) != APR_SUCCESS || most < 1) {
        most = 1;
    }
    return (uint32_t)most * 2 + 8;
}

static uint32_t members_room(const mgb_context_t *ctx, int members)
{
    uint32_t room = ctx->conf->members_room;

    if (!room) {
        room = members * 2 > MEMBERS_LEAST ? (uint32_t)members * 2 : MEMBERS_LEAST;
    }
    return room > GB_MEMBERS_MAX ? GB_MEMBERS_MAX : room;
}

/* Makes a directory of ours if it is missing, and gives it to `user`. */
static apr_status_t directory_make(const char *dir, const char *user, server_rec *s)
{
    const struct passwd *pw = user && geteuid() == 0 ? getpwnam(user) : NULL;
    struct stat st;

    if (mkdir(dir, 0700) && errno != EEXIST) {
        int error = errno;

        ap_log_error(
            APLOG_MARK, APLOG_EMERG, error, s,
            GBLOGNO(0001) "%s cannot be made: make it, or name another directory "
                          "by GreenStateDir or GreenRuntimeDir",
            dir);
        return error;
    }
    if (pw && (lstat(dir, &st) || !S_ISDIR(st.st_mode) ||
               (st.st_uid != pw->pw_uid && lchown(dir, pw->pw_uid, pw->pw_gid)))) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, errno, s,
                     GBLOGNO(0002) "%s is no directory that %s can own", dir, user);
        return APR_EGENERAL;
    }
    return APR_SUCCESS;
}

/* Children reach the journal's socket, and see nothing else of the directory: what is
 * in it has modes of its own. */
static apr_status_t directory_open(const char *dir, server_rec *s)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    apr_status_t rv = APR_SUCCESS;

    if (fd < 0 || fchmod(fd, 0711)) {
        rv = errno;
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s,
                     GBLOGNO(0003) "%s cannot be given mode 0711, by which httpd's "
                                   "children reach the socket for writes",
                     dir);
    }
    if (fd >= 0) {
        close(fd);
    }
    return rv;
}

/* Does an earlier configuration's keeper have something left to switch on? */
static bool somebody_sleeps(const mgb_shared_t *sh)
{
    for (uint32_t i = 0; sh && i < sh->header->machines_top; i++) {
        if (sh->machines[i].used == MGB_SLOT_LIVE &&
            sh->machines[i].m.state != GB_ST_ON &&
            sh->machines[i].m.state != GB_ST_UNKNOWN) {
            return true;
        }
    }
    return false;
}

static bool somebody_replicates(const mgb_context_t *ctx)
{
    for (int i = 0; i < ctx->balancers->nelts; i++) {
        if (APR_ARRAY_IDX(ctx->balancers, i, mgb_balancer_t).conf->commit.terms.on) {
            return true;
        }
    }
    return false;
}

static bool somebody_managed(const mgb_context_t *ctx)
{
    for (int i = 0; i < ctx->balancers->nelts; i++) {
        if (APR_ARRAY_IDX(ctx->balancers, i, mgb_balancer_t).conf->mode !=
            GB_MODE_OFF) {
            return true;
        }
    }
    return somebody_replicates(ctx);
}

static apr_status_t segment_bind(mgb_context_t *ctx, int members, apr_pool_t *ptemp)
{
    bool fresh = mgb_shared_existing(ctx->server) == NULL;
    uint32_t balancers = (uint32_t)ctx->balancers->nelts * 2;
    apr_status_t rv;

    rv = mgb_shared_attach(&ctx->shared, ctx->server,
                           balancers > BALANCERS_LEAST ? balancers : BALANCERS_LEAST,
                           members_room(ctx, members), processes_room(),
                           mgb_hold_places_room());
    if (rv != APR_SUCCESS) {
        return rv;
    }
    ctx->generation = ++ctx->shared->header->generation;
    rv = mgb_members_bind(ctx, ptemp);
    if (rv == APR_SUCCESS && fresh) {
        rv = mgb_checkpoint_load(ctx->shared, ctx->conf->state_dir, ctx->server, ptemp);
    }
    if (rv == APR_SUCCESS) {
        mgb_hold_settle(ctx);
        mgb_machines_owe(ctx);
        mgb_members_order(ctx, ptemp);
    }
    return rv;
}

static apr_status_t keeper_prepare(mgb_context_t *ctx)
{
    apr_status_t rv =
        directory_make(ctx->conf->state_dir, ctx->conf->keeper_user, ctx->server);

    if (rv == APR_SUCCESS) {
        rv =
            directory_make(ctx->conf->runtime_dir, ctx->conf->keeper_user, ctx->server);
    }
    if (rv == APR_SUCCESS && somebody_replicates(ctx) && geteuid() == 0) {
        rv = directory_open(ctx->conf->runtime_dir, ctx->server);
    }
    if (rv == APR_SUCCESS) {
        rv = mgb_mailbox_attach(ctx->server);
    }
    return rv;
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                       server_rec *s)
{
    mgb_context_t *ctx;
    int balancers, members;

    mgb_context = NULL;
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK; /* the first of the two passes at a start */
    }
    ctx = apr_pcalloc(pconf, sizeof(*ctx));
    ctx->pool = pconf;
    ctx->server = s;
    ctx->conf = mgb_config_main(s);
    ctx->process = GB_NO_INDEX;
    balancers = mgb_members_find(ctx, &members);
    if (balancers == 0 && !somebody_sleeps(mgb_shared_existing(s))) {
        mgb_keeper_stop(s);
        return OK;
    }
    if (segment_bind(ctx, members, ptemp) != APR_SUCCESS) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    mgb_context = ctx;
    if (!somebody_managed(ctx) && !somebody_sleeps(ctx->shared)) {
        mgb_keeper_stop(s);
        mgb_waiting_unmanaged(ctx);
        return OK;
    }
    if (keeper_prepare(ctx) != APR_SUCCESS || mgb_keeper_start(ctx) != APR_SUCCESS) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    /* mod_proxy_balancer moves the workers to shared memory in its own post_config. */
    static const char *const after[] = {"mod_proxy_balancer.c", "mod_proxy.c",
                                        "mod_proxy_hcheck.c", NULL};

    mgb_config_register_hooks(p);
    mgb_lbmethod_register(p);
    mgb_meter_register_hooks(p);
    mgb_backends_register_hooks(p);
    mgb_hold_register_hooks(p);
    mgb_status_register_hooks(p);
    mgb_page_register_hooks(p);
    mgb_beat_register_hooks(p);
    ap_hook_post_config(post_config, after, NULL, APR_HOOK_LAST);
}

AP_DECLARE_MODULE(greenbalance) = {
    STANDARD20_MODULE_STUFF,
    NULL, /* per-directory: everything stands in <Proxy>, by balancer name */
    NULL,
    mgb_config_create_server,
    mgb_config_merge_server,
    mgb_commands,
    register_hooks,
    AP_MODULE_FLAG_NONE,
};
