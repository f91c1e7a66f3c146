/* SPDX-License-Identifier: Apache-2.0
 *
 * agents.c - the keeper's side of green-agent: judges heartbeats, answers them, hands
 * out orders, and keeps on whoever objects.
 *
 * A heartbeat comes through a child of httpd that is trusted with nothing.  What counts
 * is its MAC, by the key that GreenSecrets has for its server, and that it is new
 * (core/gb_beat.h).  docs/agent.md has the reasoning and the attacks.
 *
 * An order goes out in two steps.  The answer to a heartbeat tells of it; the agent
 * asks itself once more whether it may, and says by another heartbeat that it is going;
 * only the answer to that one lets it go.  Whatever is lost on the way, or changes its
 * mind, ends with a server that stays on.
 */
#include "agents.h"
#include "libcrypto.h"
#include "mailbox.h"
#include "watchdog.h"

#include "core/gb_beat.h"
#include "core/gb_parse.h"

#include <sys/random.h>

_Static_assert(GB_BEAT_MAC_BYTES == MGB_HMAC_BYTES, "one length of a MAC");

#define BEAT_DEFAULT_US (15 * GB_US_PER_S)
#define QUICK_US        (1 * GB_US_PER_S) /* the pace while it is to go to sleep */
#define ORDER_WAIT_US   (MGB_DRIVER_MOST_US - 1 * GB_US_PER_S)
#define TELL_EVERY_US   (600 * GB_US_PER_S)
/* Silent for so many beats, and for so long at the least, is worth a word. */
#define SILENT_BEATS    4
#define SILENT_LEAST_US (5 * GB_US_PER_S)

/* Messages that repeat: told now and then, with their number. */
typedef struct told_t {
    int64_t at_us; /* 0: never */
    uint32_t more; /* since then */
} told_t;

typedef struct agent_t {
    mgb_keeper_t *keeper;
    char server[GB_ORIGIN_BYTES];
    const char *key; /* the secrets' own */
    size_t key_bytes;
    apr_array_header_t
        *rigs; /* uint32_t: the machines that have this URL; mostly one */
    gb_beat_window_t window;
    told_t refused;
    bool silence_told;
    bool went;          /* its latest heartbeat said that it goes */
    bool parked, given; /* the order below waits; it has been told of */
    mgb_job_t order;
    uint64_t order_timer;
    char objection[GB_REASON_BYTES];
} agent_t;

typedef struct mgb_agents_t {
    mgb_keeper_t *keeper;
    agent_t *all;
    uint32_t count;
    apr_hash_t *by_server;
    int64_t created_at_us;
    bool can_sign;
    told_t unknown; /* heartbeats of servers that have no key */
} mgb_agents_t;

/* ---------------------------------------------------------------- look-ups */

static uint32_t rig_of(const agent_t *agent, int i)
{
    return APR_ARRAY_IDX(agent->rigs, i, uint32_t);
}

static mgb_machine_t *machine_of(const agent_t *agent, int i)
{
    const mgb_keeper_t *keeper = agent->keeper;

    return &keeper->shared->machines[keeper->rigs[rig_of(agent, i)].slot];
}

static const char *name_of(const agent_t *agent)
{
    return machine_of(agent, 0)->name;
}

static const char *state_of(const agent_t *agent)
{
    return gb_state_name((gb_state_e)machine_of(agent, 0)->m.state);
}

static int64_t pace_us(const agent_t *agent)
{
    int64_t beat_us = agent->keeper->rigs[rig_of(agent, 0)].pool->reverse.beat_us;

    return beat_us > 0 ? beat_us : BEAT_DEFAULT_US;
}

static agent_t *agent_of_url(const mgb_agents_t *agents, const char *url)
{
    char server[GB_ORIGIN_BYTES];

    return gb_parse_origin(url, server)
               ? apr_hash_get(agents->by_server, server, APR_HASH_KEY_STRING)
               : NULL;
}

/* The agent of a machine, whichever of its members' URLs it goes by. */
static agent_t *agent_of_hints(const mgb_agents_t *agents, const mgb_hints_t *hints)
{
    for (uint32_t i = 0; hints && i < agents->count; i++) {
        agent_t *agent = &agents->all[i];

        for (int k = 0; k < agent->rigs->nelts; k++) {
            if (agents->keeper->rigs[rig_of(agent, k)].hints == hints) {
                return agent;
            }
        }
    }
    return NULL;
}

/* ---------------------------------------------------------------- telling */

/* Is it time to tell?  `more` is then how many were kept back. */
static bool due(told_t *told, uint32_t *more)
{
    int64_t now_us = mgb_now_us();

    if (told->at_us && now_us - told->at_us < TELL_EVERY_US) {
        told->more++;
        return false;
    }
    *more = told->more;
    told->at_us = now_us;
    told->more = 0;
    return true;
}

/* " (3 more since the last such message)", or nothing. */
static const char *kept_back(uint32_t more, char text[64])
{
    *text = '\0';
    if (more) {
        apr_snprintf(text, 64, " (%u more since the last such message)", more);
    }
    return text;
}

static void tell_refused(mgb_agents_t *agents, agent_t *agent, const char *server,
                         const char *why)
{
    char text[64];
    uint32_t more;

    if (agent && due(&agent->refused, &more)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, agents->keeper->server,
                     GBLOGNO(1201) "%s (%s): a heartbeat of %s is not believed: %s%s",
                     name_of(agent), state_of(agent), server, why,
                     kept_back(more, text));
    }
    if (!agent && due(&agents->unknown, &more)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, agents->keeper->server,
                     GBLOGNO(1202) "a heartbeat of %s is not believed: %s%s", server,
                     why, kept_back(more, text));
    }
}

static void tell_veto(const agent_t *agent, const mgb_beat_t *before,
                      const gb_beat_t *beat)
{
    if (!before->veto != !beat->veto) {
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, agent->keeper->server,
                     GBLOGNO(1203) "%s (%s): its agent %s%s%s", name_of(agent),
                     state_of(agent),
                     beat->veto ? "objects to its going to sleep"
                                : "objects no more to its going to sleep",
                     beat->reason[0] ? ": " : "", beat->reason);
    }
    if (before->session != beat->session) {
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, agent->keeper->server,
                     GBLOGNO(1204) "%s (%s): an agent that has just started is heard",
                     name_of(agent), state_of(agent));
    }
}

/* ---------------------------------------------------------------- orders */

static void order_end(agent_t *agent, gb_ladder_result_e result, const char *detail)
{
    mgb_done_t done = {.result = result};

    if (!agent->parked) {
        return;
    }
    agent->parked = agent->given = false;
    mgb_loop_cancel(agent->keeper->loop, agent->order_timer);
    apr_cpystrn(done.detail, detail, sizeof done.detail);
    agent->order.done(agent->order.baton, &done);
}

static void order_late(void *baton, int64_t now_us)
{
    agent_t *agent = baton;
    const mgb_beat_t *beat = &machine_of(agent, 0)->beat;
    char text[GB_REASON_BYTES];

    if (agent->given) {
        order_end(agent, GB_LADDER_LOST,
                  "its agent was told, and has not said that it goes");
    }
    else if (beat->at_us) {
        apr_snprintf(text, sizeof text, "no heartbeat came; the last one was %d s ago",
                     (int)((now_us - beat->at_us) / GB_US_PER_S));
        order_end(agent, GB_LADDER_LOST, text);
    }
    else {
        order_end(agent, GB_LADDER_LOST, "its agent has never been heard");
    }
}

/* Is what is parked still wanted, at this moment? */
static bool order_stands(const agent_t *agent)
{
    const mgb_machine_t *machine = machine_of(agent, 0);
    const mgb_header_t *header = agent->keeper->shared->header;

    return agent->parked && machine->m.state == GB_ST_STOPPING &&
           machine->ladder.goal == GB_GOAL_OFF && !machine->ladder.stale &&
           !(machine->m.flags & GB_MF_ADMIN_HELD) &&
           !__atomic_load_n(&header->paused, __ATOMIC_ACQUIRE) &&
           __atomic_load_n(&header->generation, __ATOMIC_ACQUIRE) ==
               agent->keeper->ctx->generation;
}

apr_status_t mgb_agents_order(const mgb_job_t *job)
{
    mgb_agents_t *agents = job->keeper->agents;
    agent_t *agent = agents ? agent_of_hints(agents, job->hints) : NULL;

    if (!agent) {
        return mgb_driver_say(job, GB_LADDER_REFUSED,
                              "GreenSecrets has no line: agent %.80s KEY",
                              job->member_url);
    }
    if (!agents->can_sign) {
        return mgb_driver_say(job, GB_LADDER_REFUSED, "OpenSSL's libcrypto is missing");
    }
    if (agent->rigs->nelts > 1) {
        return mgb_driver_say(job, GB_LADDER_REFUSED,
                              "members with this URL are several machines: give them "
                              "one machine=NAME");
    }
    if (agent->went) {
        return mgb_driver_say(job, GB_LADDER_OK,
                              "its agent has said that it goes, and is silent since");
    }
    if (agent->parked) {
        return mgb_driver_say(job, GB_LADDER_LOST, "an order is waiting for it");
    }
    agent->order_timer = mgb_loop_timer(
        agents->keeper->loop, mgb_now_us() + ORDER_WAIT_US, order_late, agent);
    if (!agent->order_timer) {
        return APR_ENOMEM;
    }
    agent->order = *job;
    agent->parked = true;
    agent->given = false;
    return APR_SUCCESS;
}

/* ---------------------------------------------------------------- heartbeats */

static void note(mgb_machine_t *machine, const gb_beat_t *beat, int64_t now_us)
{
    mgb_beat_t *kept = &machine->beat;

    kept->at_us = now_us;
    kept->session = beat->session;
    kept->seq = beat->seq;
    kept->load_permille = beat->load_permille;
    kept->work = beat->work;
    kept->watts = beat->has_watts ? beat->milliwatts / 1000.0 : -1;
    apr_cpystrn(kept->reason, beat->reason, sizeof kept->reason);
    kept->veto = beat->veto;
}

/* A veto while it is being switched off: too late to stay ON without a detour, and not
 * too late to be left running.  No further way is tried, beginning with this moment,
 * and its probes make it ON again. */
static void ladder_end(agent_t *agent, int i)
{
    mgb_rig_t *rig = &agent->keeper->rigs[rig_of(agent, i)];
    const char *reason = machine_of(agent, i)->beat.reason;

    mgb_waker_stop(agent->keeper, rig_of(agent, i));
    rig->exhausted = true; /* for the next sensing */
    apr_snprintf(rig->why, sizeof rig->why, "its agent objects%s%.120s",
                 *reason ? ": " : "", reason);
}

static void take(agent_t *agent, const gb_beat_t *beat)
{
    int64_t now_us = mgb_now_us();

    tell_veto(agent, &machine_of(agent, 0)->beat, beat);
    if (agent->silence_told) {
        agent->silence_told = false;
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, agent->keeper->server,
                     GBLOGNO(1205) "%s (%s): its agent is heard again", name_of(agent),
                     state_of(agent));
    }
    for (int i = 0; i < agent->rigs->nelts; i++) {
        note(machine_of(agent, i), beat, now_us);
        if (beat->has_watts) {
            (void)mgb_watts_note(agent->keeper, rig_of(agent, i),
                                 beat->milliwatts / 1000.0, "agent", now_us);
        }
    }
}

/* What the answer says about the order, and what the heartbeat did to it. */
static gb_beat_order_e order_for(agent_t *agent, const gb_beat_t *beat)
{
    char text[GB_REASON_BYTES];

    agent->went = false;
    if (!order_stands(agent)) {
        return GB_BEAT_ORDER_NONE;
    }
    if (beat->veto) {
        apr_snprintf(text, sizeof text, "its agent objects: %.120s", beat->reason);
        order_end(agent, GB_LADDER_REFUSED, text);
        return GB_BEAT_ORDER_NONE;
    }
    if (beat->going) {
        agent->went = true;
        order_end(agent, GB_LADDER_OK, "its agent goes");
        return GB_BEAT_ORDER_OFF;
    }
    agent->given = true;
    return GB_BEAT_ORDER_OFF;
}

static bool is_to_sleep(const agent_t *agent)
{
    uint32_t state = machine_of(agent, 0)->m.state;

    return agent->parked || state == GB_ST_DRAINING || state == GB_ST_STOPPING;
}

static uint32_t next_ms(const agent_t *agent)
{
    int64_t next_us = pace_us(agent);

    if (is_to_sleep(agent) && next_us > QUICK_US) {
        next_us = QUICK_US;
    }
    next_us /= GB_US_PER_MS;
    if (next_us < GB_BEAT_NEXT_LEAST_MS) {
        return GB_BEAT_NEXT_LEAST_MS;
    }
    return next_us > GB_BEAT_NEXT_MOST_MS ? GB_BEAT_NEXT_MOST_MS : (uint32_t)next_us;
}

static size_t sign(const agent_t *agent, const gb_answer_t *answer, char *reply,
                   size_t room)
{
    uint8_t mac[GB_BEAT_MAC_BYTES];
    size_t bytes = gb_beat_write_answer(answer, reply, room);

    if (!bytes ||
        !mgb_libcrypto_hmac(agent->key, agent->key_bytes, reply, bytes, mac)) {
        return 0;
    }
    return gb_beat_seal(reply, room, bytes, mac);
}

/* A nonce that nobody can guess; false when the system has none. */
static bool nonce_draw(agent_t *agent)
{
    uint8_t nonce[GB_BEAT_NONCE_BYTES];

    if (getrandom(nonce, sizeof nonce, GRND_NONBLOCK) != (ssize_t)sizeof nonce) {
        return false;
    }
    nonce[0] |= 1; /* all zeros means none */
    gb_beat_window_renew(&agent->window, nonce);
    return true;
}

/* After the order that may be parked has ended by the same veto. */
static void vetoes_obey(agent_t *agent)
{
    for (int i = 0; i < agent->rigs->nelts; i++) {
        const mgb_machine_t *machine = machine_of(agent, i);

        if (machine->beat.veto && machine->m.state == GB_ST_STOPPING) {
            ladder_end(agent, i);
        }
    }
}

static size_t answer_to(agent_t *agent, const gb_beat_t *beat, bool believed,
                        char *reply, size_t room)
{
    gb_answer_t answer = {
        .session = beat->session, .seq = beat->seq, .believed = believed};

    memcpy(answer.server, beat->server, sizeof answer.server);
    if (believed) {
        answer.order = order_for(agent, beat);
        vetoes_obey(agent);
    }
    memcpy(answer.nonce, agent->window.nonce, sizeof answer.nonce);
    answer.next_ms = next_ms(agent);
    return sign(agent, &answer, reply, room);
}

/* NULL, or why a heartbeat is refused that says it is from the agent's server. */
static const char *authenticate(const agent_t *agent, const char *letter,
                                size_t signed_bytes,
                                const uint8_t mac[GB_BEAT_MAC_BYTES])
{
    /* Whether a server is known must not show in how long the refusal takes. */
    static const char nobody[] = "no server's key";
    const char *key = agent ? agent->key : nobody;
    size_t key_bytes = agent ? agent->key_bytes : sizeof nobody - 1;
    uint8_t right[GB_BEAT_MAC_BYTES];

    bool is_done = mgb_libcrypto_hmac(key, key_bytes, letter, signed_bytes, right);
    bool is_right = mgb_libcrypto_same(mac, right);

    if (!agent) {
        return "GreenSecrets has no line \"agent\" for this URL";
    }
    if (!is_done) {
        return "it cannot be checked: OpenSSL's libcrypto is missing";
    }
    return is_right ? NULL
                    : "its signature is wrong: is the key on the server the one in "
                      "GreenSecrets?";
}

/* A letter from a child of httpd; the length of the answer, 0 for none. */
static size_t on_letter(void *baton, const char *letter, size_t bytes, char *reply,
                        size_t room)
{
    mgb_agents_t *agents = baton;
    uint8_t mac[GB_BEAT_MAC_BYTES];
    const char *refused;
    size_t signed_bytes;
    bool is_fresh;
    agent_t *agent;
    gb_beat_t beat;

    if (gb_beat_read(&beat, &signed_bytes, mac, letter, bytes)) {
        return 0; /* httpd's child has looked: this is none */
    }
    agent = agent_of_url(agents, beat.server);
    refused = authenticate(agent, letter, signed_bytes, mac);
    if (refused) {
        tell_refused(agents, agent, beat.server, refused);
        return 0;
    }
    switch (gb_beat_window_judge(&agent->window, &beat, &is_fresh)) {
    case GB_BEAT_BELIEVED:
        break;
    case GB_BEAT_CHALLENGED:
        return answer_to(agent, &beat, false, reply, room);
    case GB_BEAT_REPLAYED:
        tell_refused(agents, agent, beat.server,
                     "it was here before: somebody repeats it");
        return 0;
    case GB_BEAT_REPLACED:
    default:
        tell_refused(agents, agent, beat.server,
                     "its agent was followed by another one: two agents use this URL "
                     "and key, or somebody repeats old heartbeats");
        return 0;
    }
    if (is_fresh && !nonce_draw(agent)) {
        return 0;
    }
    take(agent, &beat);
    return answer_to(agent, &beat, true, reply, room);
}

/* ---------------------------------------------------------------- the tick */

static void sense_veto(agent_t *agent, int i)
{
    mgb_machine_t *machine = machine_of(agent, i);
    gb_sense_t *sense = &mgb_dog.fleet.senses[rig_of(agent, i)];

    if (machine->m.state == GB_ST_ASLEEP) {
        machine->beat.veto = 0; /* proved off: what it said is over */
        machine->beat.reason[0] = '\0';
    }
    if (!machine->beat.veto) {
        return;
    }
    apr_snprintf(agent->objection, sizeof agent->objection, "its agent objects%s%.120s",
                 machine->beat.reason[0] ? ": " : "", machine->beat.reason);
    sense->objects = true;
    sense->objection = agent->objection;
    if (machine->m.state == GB_ST_STOPPING) {
        ladder_end(agent, i);
        agent->keeper->rigs[rig_of(agent, i)].exhausted = false; /* told here */
        sense->exhausted = true;
        sense->why = agent->keeper->rigs[rig_of(agent, i)].why;
    }
}

void mgb_agents_sense(mgb_keeper_t *keeper)
{
    const mgb_agents_t *agents = keeper->agents;

    for (uint32_t i = 0; agents && i < agents->count; i++) {
        for (int k = 0; k < agents->all[i].rigs->nelts; k++) {
            sense_veto(&agents->all[i], k);
        }
    }
}

/* Silence is told, and changes nothing. */
static void silence_tell(const mgb_agents_t *agents, agent_t *agent, int64_t now_us)
{
    const mgb_machine_t *machine = machine_of(agent, 0);
    int64_t since_us = agents->created_at_us, most_us = SILENT_BEATS * pace_us(agent);

    if (machine->m.state != GB_ST_ON || agent->silence_told) {
        return;
    }
    since_us =
        machine->m.entered_at_us > since_us ? machine->m.entered_at_us : since_us;
    since_us = machine->beat.at_us > since_us ? machine->beat.at_us : since_us;
    if (now_us - since_us < (most_us > SILENT_LEAST_US ? most_us : SILENT_LEAST_US)) {
        return;
    }
    agent->silence_told = true;
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, agents->keeper->server,
                 GBLOGNO(1206) "%s (%s): its agent is silent: %s; is green-agent "
                               "running there?  It goes on being used",
                 machine->name, gb_state_name((gb_state_e)machine->m.state),
                 !machine->beat.at_us ? "no heartbeat has ever come"
                 : machine->beat.veto ? "no more heartbeats come, and its veto stands"
                                      : "no more heartbeats come");
}

void mgb_agents_tick(mgb_keeper_t *keeper, int64_t now_us)
{
    mgb_agents_t *agents = keeper->agents;

    for (uint32_t i = 0; agents && i < agents->count; i++) {
        silence_tell(agents, &agents->all[i], now_us);
    }
}

/* ---------------------------------------------------------------- the start */

static void rig_join(agent_t *agent, uint32_t rig)
{
    for (int i = 0; i < agent->rigs->nelts; i++) {
        if (rig_of(agent, i) == rig) {
            return;
        }
    }
    APR_ARRAY_PUSH(agent->rigs, uint32_t) = rig;
}

/* What a keeper before this one has believed is not believed again. */
static void window_open(agent_t *agent)
{
    const mgb_beat_t *beat = &machine_of(agent, 0)->beat;

    agent->window.session = beat->session;
    agent->window.seq = beat->seq;
    (void)nonce_draw(agent); /* else nobody is believed */
}

static void door_take(mgb_agents_t *agents, const mgb_door_t *door)
{
    mgb_keeper_t *keeper = agents->keeper;
    const mgb_hints_t *hints = mgb_config_hints(door->worker);
    const char *url = hints ? hints->member_url : door->worker->s->name_ex, *key;
    char server[GB_ORIGIN_BYTES];
    agent_t *agent;

    if (door->rig >= keeper->rig_count || !gb_parse_origin(url, server) ||
        !mgb_secrets_agent(keeper->secrets, url, &key)) {
        return;
    }
    agent = apr_hash_get(agents->by_server, server, APR_HASH_KEY_STRING);
    if (agent) {
        rig_join(agent, door->rig);
        return;
    }
    agent = agent_of_hints(agents, keeper->rigs[door->rig].hints);
    if (agent) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, keeper->server,
                     GBLOGNO(1207) "%s: GreenSecrets has lines agent for two URLs of "
                                   "this one machine: %s is heard, %s is not",
                     name_of(agent), agent->server, server);
        return;
    }
    agent = &agents->all[agents->count++];
    agent->keeper = keeper;
    memcpy(agent->server, server, sizeof agent->server);
    agent->key = key;
    agent->key_bytes = strlen(key);
    agent->rigs = apr_array_make(keeper->pool, 1, sizeof(uint32_t));
    rig_join(agent, door->rig);
    apr_hash_set(agents->by_server, agent->server, APR_HASH_KEY_STRING, agent);
    window_open(agent);
}

apr_status_t mgb_agents_create(mgb_keeper_t *keeper)
{
    mgb_agents_t *agents = apr_pcalloc(keeper->pool, sizeof(*agents));
    const char *why = NULL;

    agents->keeper = keeper;
    agents->created_at_us = mgb_now_us();
    agents->all =
        apr_pcalloc(keeper->pool, (keeper->door_count + 1) * sizeof(*agents->all));
    agents->by_server = apr_hash_make(keeper->pool);
    for (uint32_t i = 0; i < keeper->door_count; i++) {
        door_take(agents, &keeper->doors[i]);
    }
    agents->can_sign = agents->count && mgb_libcrypto_load(&why);
    if (agents->count && !agents->can_sign) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, keeper->server,
                     GBLOGNO(1208) "no agent's heartbeat can be checked, and none is "
                                   "believed: %s",
                     why);
    }
    keeper->agents = agents;
    return mgb_mailbox_open(keeper, on_letter, agents);
}
