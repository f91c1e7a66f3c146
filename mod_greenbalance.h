/* SPDX-License-Identifier: Apache-2.0
 *
 * mod_greenbalance.h - the glue's header: configuration, shared segment, runtime
 * context, log macros, and what the glue files offer to each other.  What belongs to
 * the keeper alone stands in keeper.h.
 *
 * Who runs what:
 *  parent   reads the configuration, makes the segment, forks and supervises the
 *           keeper, gives back the counts of children that died;
 *  children pick members, count requests, let them wait, show pages; a request takes no
 *           lock of ours and does no I/O for us; they hold no secret;
 *  keeper   one process: the watchdog's thread probes, decides, gives power orders; the
 *           journal's thread distributes writes (commit.h), where GreenCommit is on;
 *           another one writes a checkpoint.  The watchdog alone writes machines,
 * ladders, policy memory, gates, energy, history, events.
 */
#ifndef MOD_GREENBALANCE_H
#define MOD_GREENBALANCE_H

#include "httpd.h"
#include "http_config.h"
#include "http_log.h"
#include "apr_hash.h"
#include "apr_tables.h"
#include "apr_strings.h"
#include "ap_expr.h"
#include "mod_proxy.h"

#include "core/gb_types.h"
#include "core/gb_state.h"
#include "core/gb_ladder.h"
#include "core/gb_policy.h"
#include "core/gb_fleet.h"
#include "core/gb_pick.h"
#include "core/gb_meter.h"
#include "core/gb_energy.h"
#include "core/gb_health.h"
#include "core/gb_queue.h"
#include "core/gb_decide.h"
#include "core/gb_mind.h"
#include "core/gb_fluid.h"
#include "core/gb_schedule.h"
#include "core/gb_commit.h"

#define MGB_VERSION GB_VERSION

/* The only symbol that the module exports; -fvisibility=hidden would hide it, too. */
extern __attribute__((visibility("default")))
module AP_MODULE_DECLARE_DATA greenbalance_module;
#ifndef MGB_MODULE_FILE /* AP_DECLARE_MODULE defines the same there */
APLOG_USE_MODULE(greenbalance);
#endif

/* Log tags: unique, never reused, never AH.  Ranges, so that files do not collide:
 * 0001 mod/members, 0101 config, 0201 shared, 0301 keeper/control, 0401 watchdog,
 * 0501 health, 0601 reverse health, 0701 wake and drivers, 0801 picking and metering,
 * 0901 status, 1001 holding, 1101 coming back (slow start, outliers, sessions, pooled
 * connections), 1201 agents, 1301 Redfish, 1401 measured watts, 1501 journal, 1551
 * distribution, 1601 its senders and resync, 1651 children's side of replicated writes,
 * 1701 its peers in the keeper. */
#define GBLOGNO(n) "GB" #n ": "

/* ---------------------------------------------------------------- configuration */

typedef enum mgb_way_e {
    MGB_WAY_WOL,
    MGB_WAY_IPMI,
    MGB_WAY_REDFISH,
    MGB_WAY_AGENT, /* green-agent on the machine itself: off only */
    MGB_WAY_EXEC   /* a GreenPowerDriver */
} mgb_way_e;

/* GreenPowerDriver NAME COMMAND [ARG...] */
typedef struct mgb_exec_t {
    const char *name;
    const char *const *argv; /* NULL-terminated: COMMAND ARG... */
    int argc;
} mgb_exec_t;

typedef struct mgb_rung_t {
    mgb_way_e way;
    const char *name;       /* as written: "wol", "ipmi", "rackpdu" */
    const mgb_exec_t *exec; /* MGB_WAY_EXEC, resolved by check_config and post_config */
} mgb_rung_t;

#define MGB_CAPACITY_DEFAULT 16u
#define MGB_BOOT_DEFAULT_US  (120 * GB_US_PER_S)
#define MGB_HOLD_MAX_DEFAULT 100u         /* GreenHold max= */
#define MGB_PAGE_BYTES_MOST  (256 * 1024) /* of a file of GreenHold page= */
#define MGB_LBMETHOD         "bypower"

/* The keys of one BalancerMember.  pconf; read-only after post_config. */
typedef struct mgb_hints_t {
    proxy_worker *worker;   /* whose keys they are */
    const char *member_url; /* as in the configuration, for messages */
    mgb_rung_t wake[GB_RUNGS_MAX], sleep[GB_RUNGS_MAX];
    uint32_t wake_count, sleep_count;
    const char *machine; /* machine=NAME or NULL */
    bool has_mac;
    unsigned char mac[6];
    const char *wol_host;  /* default 255.255.255.255 */
    apr_port_t wol_port;   /* default 9 */
    const char *wol_iface; /* or NULL */
    const char *ipmi;      /* canonical HOST:PORT or [v6]:PORT, or NULL */
    const char *redfish;   /* canonical URL, no slash at its end, or NULL */
    uint32_t capacity;     /* default MGB_CAPACITY_DEFAULT */
    gb_curve_t curve;      /* default 100:200 and 5, marked as assumed */
    int64_t boot_us;       /* default MGB_BOOT_DEFAULT_US */
    const char *domain;    /* domain=: of failure; NULL: its own */
    int64_t mttf_us;       /* mttf=; 0: not declared */
} mgb_hints_t;

typedef struct mgb_probe_conf_t {    /* GreenHealth */
    const char *uri;                 /* "/" */
    const char *host;                /* Host: header; NULL: the member's */
    int64_t interval_us;             /* 2 s */
    int64_t timeout_us;              /* 1 s */
    uint32_t rise, fall;             /* 2, 3 */
    uint32_t expect_from, expect_to; /* 200-399 */
    bool verify;                     /* certificate of an https member; off */
} mgb_probe_conf_t;

typedef struct mgb_reverse_conf_t { /* GreenReverseHealth */
    int64_t interval_us;            /* 30 s */
    uint32_t fall;                  /* 2 */
    int64_t beat_us;                /* agents' heartbeats, one each: 15 s */
} mgb_reverse_conf_t;

/* GreenQueue: what happens with every server at its capacity. */
typedef enum mgb_queue_e {
    MGB_QUEUE_OFF = 0, /* on to the least loaded */
    MGB_QUEUE_FIFO,
    MGB_QUEUE_LATE_LAST
} mgb_queue_e;

typedef struct mgb_hold_conf_t { /* GreenHold, GreenQueue, GreenWakeIgnore */
    uint32_t max;                /* over all children, as the MPM can carry it; 0: no
                                    holding */
    int64_t timeout_us;          /* 0: 1.5 times the learned 95 % boot time */
    bool page;                   /* page=off: false */
    const char *page_file;       /* page=PATH; NULL: the module's own */
    mgb_queue_e queue;
    int64_t late_us;        /* a response that takes longer is late */
    ap_expr_info_t *ignore; /* requests that must not wake a server; NULL: none */
} mgb_hold_conf_t;

typedef struct mgb_return_conf_t { /* GreenSlowStart, GreenOutlier, GreenSticky */
    int64_t slow_start_us;         /* 30 s; 0: none */
    uint32_t outlier_errors;       /* 5; 0: no passive check */
    int64_t outlier_within_us;     /* 10 s */
    int64_t outlier_eject_us;      /* 30 s */
    bool sticky_move;              /* sessions go on to another server */
    int64_t sticky_wait_us;        /* else: a session has ended after so long without a
                                      request; 10 min */
} mgb_return_conf_t;

typedef struct mgb_tls_t {         /* SSLProxy..., for https members */
    bool verify;                   /* the certificate's authority */
    bool check_name;               /* and whether it is the member's */
    const char *ca_file, *ca_path; /* or NULL */
} mgb_tls_t;

typedef struct mgb_commit_conf_t {     /* GreenCommit and what belongs to it */
    gb_commit_conf_t terms;            /* on only with GreenReplicas independent */
    gb_level_e level;                  /* GreenCommitBackend */
    apr_off_t body_most;               /* GreenCommitBody; 1M */
    const apr_array_header_t *headers; /* GreenCommitHeaders: const char*, lower case */
    bool stale_mark;                   /* GreenCommitStale mark */
    const char *decide;                /* GreenCommitDecide; NULL: nobody is asked */
    const char *const *resync;         /* GreenResync, NULL-terminated; NULL: none */
    mgb_tls_t tls;
} mgb_commit_conf_t;

#define MGB_POLICY_DEFAULT GB_POLICY_THRESHOLD /* where no GreenPolicy is written */

typedef struct mgb_schedule_t { /* GreenSchedule */
    gb_schedule_t when;
    uint32_t min_awake;
    gb_zone_t zone;
} mgb_schedule_t;

/* The directives of one <Proxy "balancer://...">, resolved to values. */
typedef struct mgb_pool_conf_t {
    const char *name;        /* "balancer://app" */
    gb_mode_e mode;          /* GreenBalance */
    gb_policy_conf_t policy; /* GreenPolicy */
    gb_threshold_t threshold;
    uint32_t min_awake, spare;
    mgb_schedule_t *schedules; /* [schedule_count] */
    uint32_t schedule_count;
    uint32_t wakes_at_once;
    gb_rules_t rules; /* GreenDwell, GreenDrain, GreenWake */
    mgb_probe_conf_t probe;
    mgb_reverse_conf_t reverse;
    mgb_hold_conf_t hold;
    mgb_return_conf_t comeback;
    mgb_commit_conf_t commit;
    bool hard_off; /* GreenHardOff: a ladder may end in a power cut */
} mgb_pool_conf_t;

/* The main server's directives, resolved. */
typedef struct mgb_main_conf_t {
    const char *state_dir;     /* GreenStateDir */
    const char *runtime_dir;   /* GreenRuntimeDir */
    const char *secrets_file;  /* GreenSecrets, or NULL */
    const char *keeper_user;   /* GreenKeeperUser; NULL: nobody else to become */
    const char *bmc_ca;        /* GreenBmcCA; NULL: the system's certificates */
    gb_zone_t zone;            /* this machine's, for what goes by the hour */
    const char *journal_file;  /* GreenJournal */
    const char *journal_key;   /* its key=FILE; NULL: none */
    apr_off_t journal_size;    /* 1G */
    int64_t journal_retain_us; /* how long a settled id can be asked for; 1 d */
    uint32_t members_room;     /* GreenMembers; 0: configured * 2, at least 64 */
    apr_hash_t *exec_drivers;  /* name -> mgb_exec_t* */
} mgb_main_conf_t;

/* config.c */
extern const command_rec mgb_commands[];
void *mgb_config_create_server(apr_pool_t *p, server_rec *s);
void *mgb_config_merge_server(apr_pool_t *p, void *base, void *over);
/* Takes keys of BalancerMember away from mod_proxy's parser and gives the function back
 * to mod_proxy_hcheck after it (httpd-facts, section 1).  Registers its own hooks:
 * two pre_config, check_config and post_config.  Called from register_hooks. */
void mgb_config_register_hooks(apr_pool_t *p);
/* Resolved settings.  Valid from check_config on, until pconf is cleared. */
const mgb_main_conf_t *mgb_config_main(server_rec *main_server);
/* Settings of the balancer `name` as seen from server `s` (a virtual host inherits the
 * main server's, its own win); defaults when it has no directive of ours.  Never NULL.
 */
const mgb_pool_conf_t *mgb_config_pool(apr_pool_t *p, server_rec *s, const char *name);
/* Has any directive or key of ours been used for this balancer? */
bool mgb_config_pool_named(server_rec *s, const char *name);
/* Keys of a worker, or NULL when it has none (as one added in balancer-manager).  After
 * check_config all members of a machine that have keys have the whole of its hints;
 * capacity is each one's own. */
const mgb_hints_t *mgb_config_hints(const proxy_worker *worker);
/* The address of a network card as text, in `p`. */
const char *mgb_config_mac(apr_pool_t *p, const unsigned char mac[6]);

/* ---------------------------------------------------------------- time: timer.c */

/* Monotonic microseconds: the only clock that decisions see.  Any thread. */
int64_t mgb_now_us(void);
/* Wall clock, for display and the checkpoint only.  Any thread. */
apr_time_t mgb_wall_us(void);

#define MGB_TICK_US (100 * GB_US_PER_MS)

/* ---------------------------------------------------------------- shared segment */

#define MGB_MAGIC     0x47424c31u /* "GBL1" */
#define MGB_LAYOUT    16u         /* change it with every change of the layout */
#define MGB_EVENTS    512
#define MGB_KEY_BYTES 512

typedef enum mgb_slot_e {
    MGB_SLOT_FREE = 0,
    MGB_SLOT_CLAIMED,
    MGB_SLOT_LIVE,
    MGB_SLOT_GONE
} mgb_slot_e;

/* The counters of a member, as far as its balancer's accounts have them; demand.c. */
typedef struct mgb_seen_t {
    uint64_t arrivals, failovers, late, slow, answered, ended, latency_sum_us;
    uint64_t follow_us;
} mgb_seen_t;

/* The operator's word to the journal thread, and its answer. The keeper's main thread,
 * W, asks, one word at a time, and writes before that what it is about; J answers. */
typedef struct mgb_word_t {
    uint32_t asked; /* W: serial of the word */
    uint32_t done;  /* J: of the one that was answered by */
    uint32_t said;  /* J: mgb_accept_e, mgb_give_up_e */
} mgb_word_t;

/* Either side: has the latest word no answer yet? */
static inline bool mgb_word_waits(const mgb_word_t *word)
{
    return __atomic_load_n(&word->asked, __ATOMIC_ACQUIRE) !=
           __atomic_load_n(&word->done, __ATOMIC_ACQUIRE);
}

/* W: what it is about has been written. */
static inline void mgb_word_ask(mgb_word_t *word)
{
    __atomic_store_n(&word->asked, __atomic_load_n(&word->asked, __ATOMIC_RELAXED) + 1,
                     __ATOMIC_RELEASE);
}

/* J */
static inline void mgb_word_answer(mgb_word_t *word, uint32_t said)
{
    uint32_t asked = __atomic_load_n(&word->asked, __ATOMIC_ACQUIRE);

    __atomic_store_n(&word->said, said, __ATOMIC_RELAXED);
    __atomic_store_n(&word->done, asked, __ATOMIC_RELEASE);
}

/* What became of greenctl accept. */
typedef enum mgb_accept_e {
    MGB_ACCEPT_TAKEN = 0,
    MGB_ACCEPT_NOT_ASIDE,
    MGB_ACCEPT_IN_FLIGHT,
    MGB_ACCEPT_RESYNCING,
    MGB_ACCEPT_TOO_FAR,
    MGB_ACCEPT_TRIMMED,
    MGB_ACCEPT_AGAIN /* set aside, or the journal opened, before it was durable */
} mgb_accept_e;

#define MGB_ACCEPT_SETTLED UINT64_MAX /* all that has a verdict */

/* What became of greenctl give-up. */
typedef enum mgb_give_up_e {
    MGB_GIVE_UP_DONE = 0,
    MGB_GIVE_UP_DECIDED,
    MGB_GIVE_UP_NOT_FIRST,
    MGB_GIVE_UP_NO_SUCH,
    MGB_GIVE_UP_NOBODY_LEFT,
    MGB_GIVE_UP_TOO_LATE /* it was said to an earlier keeper, a minute ago */
} mgb_give_up_e;

/* A replica of a balancer's log.  Atomic fields; each has one writer: J the journal
 * thread, W the watchdog.  All 0 where GreenCommit is off. */
typedef struct mgb_replica_shared_t {
    uint32_t is_replica;  /* J */
    uint32_t reads;       /* J: 1: it may take reads */
    uint32_t aside;       /* J: 1: set aside */
    uint32_t resyncing;   /* J: 1: GreenResync runs for it */
    uint32_t wants_awake; /* J: 1: what waits for it is old, or fills the journal */
    uint32_t park;        /* W: 1: it drains, and is to sleep */
    uint32_t parked;      /* J: 1: at the head, and it gets nothing more */
    uint32_t in_flight;   /* J: 1: a write is under way there */
    mgb_word_t accept;    /* greenctl accept, */
    uint64_t accept_upto; /* W: what it has; MGB_ACCEPT_SETTLED */
    uint64_t cursor;      /* J: it has everything up to here */
    uint64_t lag_entries; /* J: accepted or open, behind the head */
    int64_t lag_since_us; /* J: when the oldest of them came; 0: none */
    int64_t catch_up_us;  /* J: as long as it would take to catch up; 0: none */
    uint64_t writes;      /* J: confirmed by it */
    char why[GB_REASON_BYTES]; /* J: of aside */
} mgb_replica_shared_t;

/* A balancer's log.  Journal thread, atomically; pages and children read. */
typedef struct mgb_log_shared_t {
    uint32_t live; /* 1: the journal thread serves it */
    uint32_t need; /* replicas that its quorum asks for; 0: GreenCommit is off */
    uint64_t epoch, head, settled;
    uint64_t open;   /* entries that no replica has answered yet; */
    uint32_t behind; /* clients that wait for one of these, but for the one that is
                        under way */
    uint64_t bytes;  /* of the journal, in use */
    uint32_t permille_full;
    uint64_t accepted, rejected, failed, met, late, full, repeated;
    uint64_t asides, given_up;
    uint64_t stuck_seq;          /* the entry that all later ones wait for; 0: none; */
    int64_t stuck_since_us;      /* since then */
    mgb_word_t give_up;          /* greenctl give-up, */
    uint32_t give_up_even_so;    /* W */
    uint64_t give_up_seq;        /* W */
    int64_t give_up_asked_at_us; /* W */
    uint64_t waited_sum_us;      /* until the quorum, of those that were met */
    uint32_t waited[GB_LATENCY_BUCKETS];
    /* Children, atomically: reads with a token that found nobody with their writes. */
    uint64_t reads_waited, reads_refused, reads_stale;
} mgb_log_shared_t;

/* A member: (balancer, worker).  `used` is claimed by compare-and-swap, the names are
 * written once; later fields by the parent (configuration) and the keeper. */
typedef struct mgb_member_t {
    uint32_t used;     /* mgb_slot_e */
    uint32_t balancer; /* index */
    uint32_t machine;  /* index; GB_NO_INDEX: never powered, shown only */
    uint32_t position; /* in the balancer's pick table; GB_NO_INDEX: none yet */
    uint32_t capacity;
    uint32_t lbset;
    uint32_t generation;      /* of the configuration that last named it, */
    uint32_t since;           /* and of the first in a row */
    gb_health_t health;       /* of this door; keeper */
    char name[GB_NAME_BYTES]; /* worker->s->name_ex */
    gb_curve_t curve;
    char probe_error[GB_REASON_BYTES]; /* why the latest probe failed; "" when it passed
                                        */
    int64_t passed_at_us;              /* when the latest one that passed began */
    uint32_t silent;                   /* 1: the latest probe reached nobody */
    uint32_t ejected;                  /* 1: taken out by the passive check */
    uint32_t ejections;                /* in a row */
    int64_t ejected_until_us;          /* end of the latest ejection */
    int64_t returned_at_us;            /* slow start counts from here; 0: none */
    uint32_t conns_epoch; /* counted up when connections made before must not be used
                             again */
    mgb_seen_t seen;      /* keeper */
    mgb_replica_shared_t replica;
} mgb_member_t;

/* How to wake a machine, kept for the restart at which its keys are gone while it
 * sleeps: it is woken by them once more.  No secret stands here. */
typedef struct mgb_ways_t {
    uint32_t count;
    uint32_t way[GB_RUNGS_MAX]; /* mgb_way_e */
    char name[GB_RUNGS_MAX][64];
    char exec[GB_RUNGS_MAX][512]; /* the command's words, each ended by NUL, then NUL */
    uint8_t mac[6];
    uint16_t wol_port;
    uint32_t has_mac;
    char wol_host[256], wol_iface[32], ipmi[272], redfish[512];
} mgb_ways_t;

/* What an agent has told of its machine, by its latest signed heartbeat.  Keeper. */
typedef struct mgb_beat_t {
    int64_t at_us;                /* when it came; 0: none yet */
    uint64_t session, seq;        /* of the latest that was accepted */
    uint32_t load_permille;       /* of the machine's processors */
    uint32_t work;                /* what its own counting says is running */
    uint32_t veto;                /* 1: it must not go to sleep now */
    double watts;                 /* negative: the host cannot tell */
    char reason[GB_REASON_BYTES]; /* of the veto; printable */
} mgb_beat_t;

/* How waiting ended, of one balancer; children, atomically. */
typedef struct mgb_waits_t {
    /* Of those that had a place; refused: also at once, since nothing will wake. */
    uint64_t served, refused, timed_out, aborted;
    uint64_t pages;       /* answered by the waiting page, */
    uint64_t asked_again; /* and of these the page's own questions */
    uint64_t turned_away; /* 503 at once: no place, no threads */
    uint64_t ignored;     /* 503 at once: must not wake anything */
    uint64_t late; /* of all those that no server has served; see docs/policy.md */
    uint64_t waited_sum_us;
    uint32_t waited[GB_LATENCY_BUCKETS]; /* of those that were served */
} mgb_waits_t;

/* A machine and what is told of it beside its state.  Keeper, but for the key. */
typedef struct mgb_machine_t {
    uint32_t used; /* mgb_slot_e */
    uint32_t generation;
    char key[MGB_KEY_BYTES];  /* identity over restarts: "name:web1", "ipmi:...",
                                 "redfish:...", "mac:..." */
    char name[GB_NAME_BYTES]; /* for people */
    gb_machine_t m;
    gb_ladder_t ladder;
    gb_joules_t energy;           /* what it drew */
    gb_joules_t energy_always_on; /* what it would have drawn, never switched off */
    double watts;                 /* now */
    uint32_t watts_source;        /* gb_watts_e */
    double measured_watts;        /* the latest measurement, */
    int64_t measured_at_us;       /* and when; 0: none */
    char measured_by[16];         /* "ipmi", "redfish", "agent", "driver" */
    mgb_beat_t beat;
    uint32_t has_bmc;
    uint32_t owed;   /* 1: we put it to sleep, and nobody manages it now: wake it */
    mgb_ways_t ways; /* parent */
} mgb_machine_t;

/* Names and settings by the parent, the pool and what is for pages by the keeper, room
 * and waits by everybody, atomically. */
typedef struct mgb_balancer_shared_t {
    _Alignas(64) gb_room_t room; /* its waiting room; each request looks at it */
    int64_t late_us;             /* GreenQueue late-last; 0: oldest first */
    int64_t patience_us;         /* who has waited for so long will be late.  Keeper */
    int64_t late_after_us;       /* a response that takes longer is late.  Keeper */
    mgb_waits_t waits;
    mgb_log_shared_t log;
    gb_pool_t pool; /* mode, settings in force, policy memory, reason */
    uint32_t used;  /* mgb_slot_e */
    uint32_t generation;
    uint32_t past_second, past_minute; /* next index in the rings below */
    /* for pages; latencies are of the latest ten seconds: */
    uint32_t arrivals_per_s, p50_us, p99_us;
    uint64_t arrived, late; /* requests since httpd was started */
    /* of the waiting room's counters, so many are in them (demand.c): */
    uint64_t waiting_seen, waiting_late_seen;
    char name[GB_NAME_BYTES]; /* "balancer://app" */
    char key[MGB_KEY_BYTES];  /* conf->id + name: unique over virtual hosts */
} mgb_balancer_shared_t;

/* What another policy would do: a fluid twin of the balancer, and its accounts. */
typedef struct mgb_twin_t {
    gb_fluid_t fluid;
    double
        joules_always_on; /* what the same servers would have drawn, all of them on */
    gb_decider_t decider;
} mgb_twin_t;

/* What a balancer's policies remember; outlives the keeper, and of NEWS also a stop.
 * Whoever reads it checks it: a keeper may have been killed while it wrote. */
typedef struct mgb_mind_t {
    gb_mind_t own; /* of the policy in force, and what NEWS has learned */
    mgb_twin_t twins[GB_POLICY_COUNT];
} mgb_mind_t;

typedef struct mgb_process_t {
    uint32_t pid; /* 0: free; UINT32_MAX: its counts are being given back */
    uint32_t generation;
} mgb_process_t;

typedef struct mgb_event_t {
    apr_time_t at;                      /* wall clock */
    uint32_t machine, member, balancer; /* GB_NO_INDEX: none */
    uint32_t from, to;
    char reason[GB_REASON_BYTES];
} mgb_event_t;

typedef struct mgb_header_t {
    uint32_t magic, layout;
    uint64_t size_bytes;
    uint32_t balancers_room, machines_room, members_room, processes_room, places_room;
    uint32_t machines_top, members_top; /* slots from here on were never used */
    uint32_t generation; /* of the configuration: counted up at each restart */
    uint32_t keeper_pid;
    int64_t keeper_started_at_us, keeper_beat_at_us;
    uint32_t paused;       /* greenctl pause */
    uint32_t gates_serial; /* counted up when a gate changes: children mirror U */
    uint32_t full_told;    /* "segment full" was logged */
    uint32_t claim_lock;   /* pid of who claims a member's slot; 0: nobody */
    uint64_t events_next;  /* events written in all; ring index modulo MGB_EVENTS */
} mgb_header_t;

/* Pointers into the segment, the same in every process that inherits it. */
typedef struct mgb_shared_t {
    mgb_header_t *header;
    mgb_balancer_shared_t *balancers;
    mgb_mind_t *minds; /* [balancer] */
    mgb_machine_t *machines;
    mgb_member_t *members;
    gb_cell_t *cells; /* [member] */
    mgb_process_t *processes;
    gb_row_cell_t *rows; /* [process * members_room + member] */
    mgb_event_t *events;
    gb_queue_t *queue;                /* the waiting room of all balancers */
    gb_place_t *places;               /* [queue->room] */
    gb_past_t *seconds;               /* [balancer * GB_PAST_SECONDS + i] */
    gb_past_t *minutes;               /* [balancer * GB_PAST_MINUTES + i] */
    gb_member_past_t *member_minutes; /* [i * members_room + member] */
    char *tables;                     /* pick tables, table_bytes apart */
    size_t table_bytes;
} mgb_shared_t;

#define MGB_TABLE(sh, b)                                                               \
    ((gb_pick_table_t *)((sh)->tables + (size_t)(b) * (sh)->table_bytes))
#define MGB_ROW(sh, p, m) (&(sh)->rows[(size_t)(p) * (sh)->header->members_room + (m)])

/* shared.c.  mgb_shared_attach: parent, post_config: finds the segment in the process
 * pool's userdata or makes it, zeroed, in anonymous shared memory. */
apr_status_t mgb_shared_attach(mgb_shared_t **shared, server_rec *s, uint32_t balancers,
                               uint32_t members_room, uint32_t processes,
                               uint32_t places);
/* The segment of this httpd, or NULL while there is none.  Parent. */
mgb_shared_t *mgb_shared_existing(server_rec *s);
/* Finds or claims a slot by its key or name; GB_NO_INDEX when there is no room, or the
 * key is too long to be kept.  claim_balancer: parent.  claim_machine: parent, and the
 * keeper for a member that was added at run time.  claim_member: any process; never
 * waits, so GB_NO_INDEX also while another process claims: try again later. */
uint32_t mgb_shared_claim_balancer(mgb_shared_t *sh, const char *key, const char *name);
uint32_t mgb_shared_claim_machine(mgb_shared_t *sh, const char *key, const char *name,
                                  int64_t first_guess_us, bool *is_new);
uint32_t mgb_shared_claim_member(mgb_shared_t *sh, uint32_t balancer, const char *name,
                                 bool *is_new);
/* Requests in flight at a member, summed over processes: exact. */
uint32_t mgb_shared_in_flight(const mgb_shared_t *sh, uint32_t member);
/* Notes an event in the ring.  Keeper only. */
void mgb_shared_note(mgb_shared_t *sh, uint32_t machine, uint32_t member,
                     uint32_t balancer, uint32_t from, uint32_t to, const char *reason);
/* checkpoint.c: temporary file, fsync, rename.  Keeper only.  save_later copies and
 * returns, a thread writes; APR_EBUSY while the one before is being written.
 * mgb_checkpoint_error: errno of the latest, 0 when it went well. */
apr_status_t mgb_checkpoint_save(const mgb_shared_t *sh, const char *dir);
apr_status_t mgb_checkpoint_save_later(const mgb_shared_t *sh, const char *dir);
int mgb_checkpoint_error(void);
/* What NEWS has learned about a balancer, as policy or, before it was ever that, as a
 * twin; NULL: nothing.  Reads only. */
const gb_news_t *mgb_checkpoint_learned(const mgb_mind_t *mind);
/* Fills machines of a fresh segment with what the file says; a damaged or missing file
 * is logged and ignored.  Parent, post_config, after machines were claimed. */
apr_status_t mgb_checkpoint_load(mgb_shared_t *sh, const char *dir, server_rec *s,
                                 apr_pool_t *p);

/* ---------------------------------------------------------------- context */

/* A balancer as this process knows it. */
typedef struct mgb_balancer_t {
    uint32_t index; /* in the segment; GB_NO_INDEX: no room, stock behaviour */
    const char *key;
    const mgb_pool_conf_t *conf;
    server_rec *server; /* whose configuration it is */
    proxy_server_conf *proxy_conf;
    proxy_balancer *balancer;
    bool was_on;       /* GreenBalance on before this restart, as far as known */
    uint32_t hold_max; /* GreenHold max=, as the MPM can carry it */
} mgb_balancer_t;

/* A machine as the configuration describes it: what its members' keys say together. */
typedef struct mgb_group_t {
    uint32_t slot;     /* of the machine in the segment; GB_NO_INDEX: no room */
    bool has_hints;    /* some member of it has a key of ours */
    mgb_hints_t hints; /* of its first member that has any */
    uint32_t before; /* machine of its members before this restart; GB_NO_INDEX: new */
    mgb_balancer_t *balancer; /* of its first member */
    proxy_worker *worker;     /* its first member */
} mgb_group_t;

/* One per process; children and keeper inherit the parent's and own their copy. */
typedef struct mgb_context_t {
    apr_pool_t *pool;   /* pconf */
    server_rec *server; /* main server */
    const mgb_main_conf_t *conf;
    mgb_shared_t *shared;
    apr_array_header_t *balancers; /* mgb_balancer_t */
    struct mgb_map_t *members;     /* proxy_worker* -> member slot */
    struct mgb_map_t *pools;       /* workers array -> index in `balancers` */
    apr_array_header_t *groups;    /* mgb_group_t: the machines */
    proxy_worker **workers;        /* [member slot]; NULL: not known here */
    uint32_t process;              /* own row; GB_NO_INDEX: none, counts are not kept */
    uint32_t generation;
    uint32_t gates_seen; /* serial of the gates last mirrored */
} mgb_context_t;

/* NULL until post_config has run (and when the module is loaded and unused). */
extern mgb_context_t *mgb_context;

/* members.c: who is who.  Parent, post_config, in this order:
 * mgb_members_find: fills ctx->balancers with those that are ours; returns how many,
 * and how many members they have; mgb_members_bind: claims slots for every balancer and
 * worker, joins members to machines; mgb_members_order: fills the pick tables, sets
 * gates by the machines' states. */
int mgb_members_find(mgb_context_t *ctx, int *members);
apr_status_t mgb_members_bind(mgb_context_t *ctx, apr_pool_t *ptemp);
void mgb_members_order(mgb_context_t *ctx, apr_pool_t *ptemp);
/* Puts a balancer's settings in force; what it remembers stays. */
void mgb_members_settings(gb_pool_t *pool, const mgb_pool_conf_t *conf);
/* Logs once that the segment is full. */
void mgb_members_tell_full(mgb_context_t *ctx, const mgb_balancer_t *b,
                           const char *name);
/* machines.c: joins members to machines and claims their slots; part of binding. */
void mgb_machines_bind(mgb_context_t *ctx, apr_pool_t *ptemp);
/* After the checkpoint was read: what slept under GreenBalance on and is observed now
 * is owed a wake. */
void mgb_machines_owe(mgb_context_t *ctx);
/* The balancer of a request's proxy_balancer, or NULL when it is not ours. */
mgb_balancer_t *mgb_members_balancer(const mgb_context_t *ctx, const proxy_balancer *b);
/* The slot of a worker; claims one for a worker added at run time.  GB_NO_INDEX: none.
 * Any thread; lock-free, one hash look-up when the worker is known. */
uint32_t mgb_members_slot(mgb_context_t *ctx, const mgb_balancer_t *b,
                          proxy_worker *worker);
/* The slot of a worker if it is known; one hash look-up.  GB_NO_INDEX: not ours. */
uint32_t mgb_members_known(const mgb_context_t *ctx, const proxy_worker *worker);
/* The worker of a slot in this process, or NULL (not synchronised yet, or gone). */
proxy_worker *mgb_members_worker(const mgb_context_t *ctx, uint32_t slot);
/* Brings the bit U of this process's workers in line with the gates, if they changed.
 */
void mgb_members_mirror(mgb_context_t *ctx);
/* PROXY_WORKER_* -> GB_USE_*. */
uint8_t mgb_members_use(const proxy_worker *worker);

/* ---------------------------------------------------------------- request path */

/* load_meter.c: registers scheme_handler, post_request, child_init, child_status. */
void mgb_meter_register_hooks(apr_pool_t *p);
/* The lbmethod (`sticky` false) or httpd has chosen `slot` for r: +1, and true when the
 * gate is still open to it after that; else the count is taken back.  Children, any
 * thread, as the next three; no lock, and no memory but one record and cleanup of
 * r->pool. */
bool mgb_meter_enter(request_rec *r, mgb_context_t *ctx, uint32_t slot, bool sticky);
/* Counts r in at `slot`, whose pick table counts it already at `position` (who serves
 * the waiting room did that), for the method's choice that follows.  False, and
 * nothing is counted any more, when the gate has been closed meanwhile. */
bool mgb_meter_claim(request_rec *r, mgb_context_t *ctx, uint32_t slot,
                     uint32_t position);
/* The slot that was claimed for r and is not used yet, GB_NO_INDEX: none.  It is then
 * taken for the method's choice (use), or given back. */
uint32_t mgb_meter_claimed(request_rec *r);
void mgb_meter_use_claim(request_rec *r, mgb_context_t *ctx, bool use);
/* r came at that time, and has not been counted in anywhere yet. */
void mgb_meter_came(request_rec *r, int64_t at_us);
/* The attempt that r was counted for has failed: it is no longer in flight there. */
void mgb_meter_failed(request_rec *r);
/* Writes, which the keeper sends.  row: one of its own, given back when it has died;
 * GB_NO_INDEX: none is free.  send, sent: one is under way at a member, and is so no
 * longer.  answered, followed: how long a member took, of a write that it was the first
 * to answer, and of one that another had answered.  Journal thread; no lock. */
uint32_t mgb_meter_row(const mgb_context_t *ctx);
void mgb_meter_send(mgb_shared_t *sh, uint32_t row, uint32_t slot);
void mgb_meter_sent(mgb_shared_t *sh, uint32_t row, uint32_t slot);
void mgb_meter_answered(mgb_shared_t *sh, uint32_t slot, gb_outcome_e outcome,
                        int64_t took_us);
void mgb_meter_followed(mgb_shared_t *sh, uint32_t slot, int64_t took_us);
/* Keeper or parent: gives back what a dead process had in flight. */
void mgb_meter_reclaim(mgb_shared_t *sh, uint32_t process);
/* Keeper, each tick: dead processes' rows, drift of the pick tables' counts. */
void mgb_meter_repair(mgb_shared_t *sh);
/* Keeper, each whole second: history rings, rates and quantiles for pages. */
void mgb_meter_second(mgb_shared_t *sh, int64_t now_us, apr_time_t wall);

/* lbmethod_power.c: registers the method and child_init. */
void mgb_lbmethod_register(apr_pool_t *p);
/* Memory for this process's looks, from the pool of its life; before any of them.  Each
 * child does it by child_init, the keeper before its first tick. */
void mgb_lbmethod_prepare(apr_pool_t *pchild, const mgb_context_t *ctx);
/* Looks at the workers of the balancer at `index` in ctx->balancers if that is due (or
 * `now`), so that its pick table says who can serve.  Children and keeper, any thread;
 * one does it, others go on. */
void mgb_lbmethod_look(mgb_context_t *ctx, uint32_t index, server_rec *s, bool now);
/* Is the balancer's method `bypower`? */
bool mgb_lbmethod_is_ours(const proxy_balancer *balancer);

/* hold.c: requests that wait for a server, or for room on one. */
void mgb_hold_register_hooks(apr_pool_t *p);
/* How many places the MPM can ever need.  Parent, post_config. */
uint32_t mgb_hold_places_room(void);
/* Brings GreenHold max= down to what the MPM can carry, and says so.  Parent,
 * post_config. */
void mgb_hold_settle(mgb_context_t *ctx);

/* One more thread that waits elsewhere, for a moment; false: enough of them wait.
 * leave: when it was true. */
bool mgb_hold_enter(const request_rec *r);
void mgb_hold_leave(const request_rec *r);
/* The finder has found nobody for a request that did not wait, so that httpd answers
 * 503: it says when to come again.  Child, any thread; memory of r->pool. */
void mgb_hold_unserved(mgb_context_t *ctx, const mgb_balancer_t *b, request_rec *r);
/* session.c: does the request belong to a sticky session whose server takes it, though
 * it be full or drain?  `url` as mod_proxy has it.  Children. */
bool mgb_session_is_served(request_rec *r, mgb_context_t *ctx,
                           const proxy_balancer *balancer, const char *url);
/* The server of its session, whether that takes it or not; NULL: there is none. */
const proxy_worker *mgb_session_worker(const request_rec *r,
                                       const proxy_balancer *balancer, const char *url);
/* The text, or a copy in `p`, in which mod_proxy_balancer finds no session: a word that
 * nobody can guess stands for each sign '=' behind the session's name.  show undoes it,
 * in place.  prepare: each child, once, before that. */
void mgb_session_prepare(void);
const char *mgb_session_hide_path(apr_pool_t *p, const proxy_balancer *balancer,
                                  const char *url);
const char *mgb_session_hide_cookie(apr_pool_t *p, const proxy_balancer *balancer,
                                    const char *cookies);
void mgb_session_show(char *text);
/* waiting.c: who serves the waiting room.  Gives free room of the balancer's servers
 * (index in the segment) to those who wait for it.  Any thread of any process. */
void mgb_waiting_serve(mgb_shared_t *sh, uint32_t balancer);
/* Tells all who wait that nothing will wake.  Keeper; parent. */
void mgb_waiting_refuse(mgb_shared_t *sh, uint32_t balancer);
/* The balancer is gone from the configuration: children of before are not served by any
 * server that would have to be woken.  Parent. */
void mgb_waiting_forsake(mgb_shared_t *sh, uint32_t balancer);
/* There will be no keeper, for nothing is managed: doors are open, and nobody would
 * say so any more.  Parent, after mgb_members_order(). */
void mgb_waiting_unmanaged(mgb_context_t *ctx);
/* Frees the places of a process that died.  Parent or keeper. */
void mgb_waiting_reclaim(mgb_shared_t *sh, uint32_t process);

/* backends.c: connections that httpd's children keep open to members; registers
 * scheme_handler and child_init. */
void mgb_backends_register_hooks(apr_pool_t *p);
/* Keeper: no process may use a connection again that was made to the member before. */
void mgb_backends_drop(mgb_shared_t *sh, uint32_t slot);
/* Keeper: wakes a thread in each child, which looks at the gates and at what was
 * dropped. */
void mgb_backends_tell(mgb_shared_t *sh);

/* fuzzy_commit.c: writes to balancers with GreenCommit, before mod_proxy sees them; the
 * answers below /.well-known/green-commit/.  commit_reads.c: reads that need what was
 * written before.
 *
 * Hooks are sorted after the configuration was read, so a directive may add some: no
 * request pays for these where no balancer has GreenCommit.  The parent, for each
 * GreenCommit; pconf is the pool of this configuration, in which it is done once. */
void mgb_commit_need_hooks(apr_pool_t *pconf);
/* commit_page.c: the cookie with the commit token of a balancer's log (its key), by
 * whether the client came by TLS.  In `p`; any process. */
#define MGB_COOKIE_PREFIX "green-" /* is in its name */
const char *mgb_commit_cookie_name(apr_pool_t *p, const char *key, bool tls);
/* commit_reads.c, for mgb_commit_need_hooks(). */
void mgb_reads_register_hooks(apr_pool_t *p);
/* A read that comes with a commit token; NULL: it has none, or GreenCommit is off.  The
 * functions below: children, any thread; `read` may be NULL, any server will do then.
 */
typedef struct mgb_read_t mgb_read_t;
mgb_read_t *mgb_reads_of(const request_rec *r, const mgb_balancer_t *b);
/* Has the server at a position of the pick table what the read needs? */
bool mgb_reads_allows(const mgb_context_t *ctx, const mgb_read_t *read,
                      uint32_t position);
/* Fills in the positions that have not, and returns how many; UINT32_MAX: more than
 * there is room for. */
uint32_t mgb_reads_avoid(const mgb_context_t *ctx, const mgb_read_t *read,
                         uint32_t *avoid, uint32_t room);
/* The finder has its turn: the request's cookies are as they came again. */
void mgb_reads_found(request_rec *r, const mgb_balancer_t *b);
/* It has found nobody: the answer says so, and when to come again. */
void mgb_reads_refused(mgb_context_t *ctx, const mgb_balancer_t *b, request_rec *r);

/* status_handler.c: handler greenbalance-status */
void mgb_status_register_hooks(apr_pool_t *p);
/* status_json.c: the fleet as greensim reads it (greenctl model): JSON, NUL-terminated,
 * in `p`.  Any process; reads only, no lock. */
const char *mgb_status_model(apr_pool_t *p, const mgb_shared_t *sh);

/* beat.c: handler greenbalance-beat */
void mgb_beat_register_hooks(apr_pool_t *p);

#endif /* MOD_GREENBALANCE_H */
