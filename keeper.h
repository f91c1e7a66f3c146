/* SPDX-License-Identifier: Apache-2.0
 *
 * keeper.h - the keeper process: what its files offer to each other, and to the parent.
 *
 * Children call none of it.  All from loop.c to secrets.c runs in the keeper's one
 * thread, without locks, and never blocks.
 */
#ifndef MGB_KEEPER_H
#define MGB_KEEPER_H

#include "mod_greenbalance.h"

typedef struct mgb_loop_t mgb_loop_t;       /* loop.c */
typedef struct mgb_secrets_t mgb_secrets_t; /* secrets.c */

/* What the keeper knows of a machine beside the segment. */
typedef struct mgb_rig_t {
    uint32_t slot;
    const mgb_hints_t *hints;    /* of its members; NULL: no ladders */
    const mgb_pool_conf_t *pool; /* of one of its managing balancers */
    gb_rules_t rules;
    bool hard_off;  /* every balancer of it says GreenHardOff on */
    bool added;     /* at run time: no configuration has it */
    bool exhausted; /* its ladder was used up in this tick */
    char why[GB_REASON_BYTES];
} mgb_rig_t;

/* A member as the keeper probes it. */
typedef struct mgb_door_t {
    uint32_t slot;
    uint32_t rig; /* index into keeper->rigs */
    const mgb_balancer_t *balancer;
    proxy_worker *worker;
} mgb_door_t;

typedef struct mgb_keeper_t {
    apr_pool_t *pool;  /* the keeper's life */
    apr_pool_t *ptick; /* cleared each tick */
    server_rec *server;
    mgb_context_t *ctx;
    mgb_shared_t *shared;
    mgb_loop_t *loop;
    mgb_secrets_t *secrets;
    mgb_rig_t *rigs;    /* [rig_count]; index is not the segment's slot */
    uint32_t rig_count; /* grows when a member is added at run time */
    uint32_t rigs_room; /* as many as it will ever be */
    mgb_door_t *doors;
    uint32_t door_count;           /* likewise; at most the segment's members_room */
    struct mgb_checks_t *checks;   /* health_check.c */
    struct mgb_proofs_t *proofs;   /* reverse_health.c */
    struct mgb_waker_t *waker;     /* wake.c */
    struct mgb_meters_t *meters;   /* watts.c */
    struct mgb_control_t *control; /* control.c */
    struct mgb_agents_t *agents;   /* agents.c */
} mgb_keeper_t;

/* loop.c: epoll and timers of the keeper's one thread.  Callbacks run in that thread,
 * must not block, and may add or remove watches and timers, their own too. */
typedef void mgb_io_fn(void *baton, int fd, uint32_t epoll_events);
typedef void mgb_timer_fn(void *baton, int64_t now_us);
apr_status_t mgb_loop_create(mgb_loop_t **loop, apr_pool_t *p);
apr_status_t mgb_loop_watch(mgb_loop_t *loop, int fd, uint32_t epoll_events,
                            mgb_io_fn *fn, void *baton); /* adds or changes */
void mgb_loop_unwatch(mgb_loop_t *loop, int fd);         /* before the fd is closed */
/* One-shot timer; returns an id for cancel, 0 without memory: it will not fire.  Ties
 * fire in order of their setting. */
uint64_t mgb_loop_timer(mgb_loop_t *loop, int64_t at_us, mgb_timer_fn *fn, void *baton);
void mgb_loop_cancel(mgb_loop_t *loop, uint64_t id);
/* Runs callbacks until `until_us` or a signal: false; or until one of them calls
 * mgb_loop_break(): true. */
bool mgb_loop_run(mgb_loop_t *loop, int64_t until_us);
/* From a callback: the run returns after this turn. */
void mgb_loop_break(mgb_loop_t *loop);

/* From here to secrets.c what is made lives in keeper->pool; `rig` is an index into
 * keeper->rigs. */

/* health_check.c.  Verdicts stand in members[slot].health.  tick follows the machines'
 * states; probes start by timers of their own. */
apr_status_t mgb_checks_create(mgb_keeper_t *keeper);
void mgb_checks_tick(mgb_keeper_t *keeper, int64_t now_us);
/* Ends all probes; for those who end the keeper's pool before the process. */
void mgb_checks_destroy(mgb_keeper_t *keeper);

/* reverse_health.c.  tick puts the questions that are due. */
apr_status_t mgb_proofs_create(mgb_keeper_t *keeper);
void mgb_proofs_tick(mgb_keeper_t *keeper, int64_t now_us);
/* What is proved now about a machine, and whether one that should be on has no power.
 */
gb_proof_e mgb_proofs_of(const mgb_keeper_t *keeper, uint32_t rig);
bool mgb_proofs_unpowered(const mgb_keeper_t *keeper, uint32_t rig);

/* wake.c: ladders -> drivers.  create takes over the ladders that a predecessor left,
 * and may block (names are resolved).  start replaces a run with the other goal, and
 * leaves one with the same alone.  tick gives what is due; when a ladder is used up it
 * sets the rig's `exhausted` and `why`. */
apr_status_t mgb_waker_create(mgb_keeper_t *keeper);
/* Could the machine's sleep ladder end in a power cut, as far as its ways go? */
bool mgb_waker_can_cut(const mgb_rig_t *rig);
void mgb_waker_start(mgb_keeper_t *keeper, uint32_t rig, gb_ladder_goal_e goal,
                     int64_t now_us);
void mgb_waker_stop(mgb_keeper_t *keeper, uint32_t rig);
void mgb_waker_tick(mgb_keeper_t *keeper, int64_t now_us);

/* watts.c: asks machines what they draw; readings stand in machines[].measured_*.
 * create: after the waker.  tick: once a second; asks whom it is due.  since: when the
 * present phase of the machine's power began: readings from before say nothing of it.
 * note: takes in a reading, from whatever source `by` ("agent", ...): false, and it is
 * told once, when it cannot be; a fresh one of a BMC or driver is not replaced by an
 * agent's, which sees a part of the machine only. */
apr_status_t mgb_watts_create(mgb_keeper_t *keeper);
void mgb_watts_tick(mgb_keeper_t *keeper, int64_t now_us);
int64_t mgb_watts_since_us(const mgb_keeper_t *keeper, uint32_t rig);
bool mgb_watts_note(mgb_keeper_t *keeper, uint32_t rig, double watts, const char *by,
                    int64_t now_us);

/* listen.c: a unix socket at `path`, mode 0600, which takes the place of what socket
 * was there; `owner` NULL: it stays whose who asks.  A descriptor that does not block,
 * or -1: errno.  Memory of `p`. */
typedef struct mgb_owner_t {
    uid_t user;
    gid_t group;
} mgb_owner_t;
int mgb_listen(const char *path, int backlog, const mgb_owner_t *owner, apr_pool_t *p);

/* control.c: greenctl's socket.  listen: before privileges are dropped; a descriptor,
 * or -1: errno.  create takes the descriptor over, closes it on failure, and sets
 * errno. */
int mgb_control_listen(const char *path, apr_pool_t *p);
apr_status_t mgb_control_create(mgb_keeper_t *keeper, int listen_fd);

/* control_accept.c: greenctl accept.  ask: why it is refused at once, a literal, or
 * NULL; then is_done says false until the journal thread has answered, and then sets
 * `error` to why it was refused, a literal, or NULL.  Main thread. */
struct gb_command_t;
const char *mgb_accept_ask(const mgb_keeper_t *keeper, uint32_t slot,
                           const struct gb_command_t *command);
bool mgb_accept_is_done(const mgb_keeper_t *keeper, uint32_t slot, const char **error);

/* control_give_up.c: greenctl give-up, likewise, for a balancer by its index; the error
 * may also be in `p`. */
const char *mgb_give_up_ask(const mgb_keeper_t *keeper, uint32_t balancer,
                            const struct gb_command_t *command);
bool mgb_give_up_is_done(const mgb_keeper_t *keeper, uint32_t balancer, apr_pool_t *p,
                         const char **error);

/* watchdog.c: the keeper's tick. */
apr_status_t mgb_watchdog_create(mgb_keeper_t *keeper);
/* Once, when all parts stand: goes on with what a predecessor left under way. */
void mgb_watchdog_resume(mgb_keeper_t *keeper, int64_t now_us);
void mgb_watchdog_tick(mgb_keeper_t *keeper, int64_t now_us);
/* May the machine's power be cut at this moment?  Ordered off by us, and still nothing
 * in flight, no objection, no wake asked for, no pause, no administrator's bit; every
 * balancer of it says GreenHardOff on. */
bool mgb_watchdog_may_cut(const mgb_keeper_t *keeper, uint32_t rig);
/* A command of the operator about the machine behind a member's slot.  NULL, or why it
 * was refused: text that lives until the next tick. */
const char *mgb_watchdog_command(mgb_keeper_t *keeper, uint32_t member,
                                 gb_event_e event);

/* secrets.c: GreenSecrets.  Read as root in the keeper, after the fork; refused unless
 * it belongs to whoever starts httpd and has mode 0600.  Wiped at the end. */
apr_status_t mgb_secrets_read(mgb_secrets_t **secrets, const char *file, apr_pool_t *p,
                              const char **error);
/* Credentials of a BMC ("HOST:PORT" as canonical in hints), or the SecureOn password of
 * a card; false when there are none.  `secrets` may be NULL.  The texts are theirs. */
bool mgb_secrets_ipmi(const mgb_secrets_t *secrets, const char *bmc, const char **user,
                      const char **password);
bool mgb_secrets_secureon(const mgb_secrets_t *secrets, const unsigned char mac[6],
                          unsigned char password[6]);
/* Credentials for a URL of a Redfish service (in the form of gb_parse_url()): of the
 * line whose URL is the longest one that `url` begins with, whole segments only, so
 * that a service's line serves its systems. */
bool mgb_secrets_redfish(const mgb_secrets_t *secrets, const char *url,
                         const char **user, const char **password);
/* The key that a server's agent signs with; `member_url` as on BalancerMember, its path
 * does not matter. */
bool mgb_secrets_agent(const mgb_secrets_t *secrets, const char *member_url,
                       const char **key);

/* keeper.c: parent's side, in post_config.  start forks a keeper, which replaces the
 * old one; stop ends it, when nothing needs one any more. */
apr_status_t mgb_keeper_start(mgb_context_t *ctx);
void mgb_keeper_stop(server_rec *s);

#endif /* MGB_KEEPER_H */
