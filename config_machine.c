/* SPDX-License-Identifier: Apache-2.0
 *
 * config_machine.c - joins members to machines, and checks what they say of them.
 *
 * Power belongs to a machine; members are its doors.  Members that give the same
 * machine=, mac=, ipmi= or redfish=, in any balancer of any virtual host, are one
 * machine.  What they say of it must not contradict; what one of them says holds for
 * all, so that after the check every member carries the whole of its machine's hints.
 */
#include "config_private.h"

#include "core/gb_parse.h"

typedef enum hint_e {
    HINT_MACHINE,
    HINT_MAC,
    HINT_WAKE,
    HINT_SLEEP,
    HINT_WOLTO,
    HINT_WOLIF,
    HINT_IPMI,
    HINT_REDFISH,
    HINT_WATTS,
    HINT_OFFWATTS,
    HINT_BOOT,
    HINT_DOMAIN,
    HINT_MTTF,
    HINT_COUNT
} hint_e;

static const char *const hint_names[HINT_COUNT] = {
    [HINT_MACHINE] = "machine",   [HINT_MAC] = "mac",         [HINT_WAKE] = "wake",
    [HINT_SLEEP] = "sleep",       [HINT_WOLTO] = "wolto",     [HINT_WOLIF] = "wolif",
    [HINT_IPMI] = "ipmi",         [HINT_REDFISH] = "redfish", [HINT_WATTS] = "watts",
    [HINT_OFFWATTS] = "offwatts", [HINT_BOOT] = "boot",       [HINT_DOMAIN] = "domain",
    [HINT_MTTF] = "mttf"};

/* Members joined to one machine, and what they say of it together. */
typedef struct mgb_joined_t {
    mgb_hints_t hints;
    const mgb_keys_t *giver[HINT_COUNT]; /* the first member that gives a hint */
} joined_t;

static const char *show_ladder(apr_pool_t *p, const mgb_rung_t *rungs, uint32_t count)
{
    const char *text = NULL;

    for (uint32_t i = 0; i < count; i++) {
        text = text ? apr_pstrcat(p, text, ",", rungs[i].name, NULL) : rungs[i].name;
    }
    return text;
}

static const char *show_curve(apr_pool_t *p, const gb_curve_t *curve)
{
    const char *text = NULL;

    for (size_t i = 0; !curve->assumed && i < 11; i++) {
        text = apr_psprintf(p, "%s%s%.10g", text ? text : "", text ? "," : "",
                            curve->watts[i]);
    }
    return text;
}

const char *mgb_config_mac(apr_pool_t *p, const unsigned char mac[6])
{
    return apr_psprintf(p, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
                        mac[3], mac[4], mac[5]);
}

/* A hint in one form, equal when it says the same; NULL when it is not given. */
static const char *show_hint(apr_pool_t *p, const mgb_hints_t *hints, hint_e hint)
{
    switch (hint) {
    case HINT_MACHINE:
        return hints->machine;
    case HINT_MAC:
        return hints->has_mac ? mgb_config_mac(p, hints->mac) : NULL;
    case HINT_WAKE:
        return show_ladder(p, hints->wake, hints->wake_count);
    case HINT_SLEEP:
        return show_ladder(p, hints->sleep, hints->sleep_count);
    case HINT_WOLTO:
        return hints->wol_host ? apr_psprintf(p, "%s port %u", hints->wol_host,
                                              (unsigned)hints->wol_port)
                               : NULL;
    case HINT_WOLIF:
        return hints->wol_iface;
    case HINT_IPMI:
        return hints->ipmi;
    case HINT_REDFISH:
        return hints->redfish;
    case HINT_WATTS:
        return show_curve(p, &hints->curve);
    case HINT_OFFWATTS:
        return hints->curve.assumed_off
                   ? NULL
                   : apr_psprintf(p, "%.10g", hints->curve.off_watts);
    case HINT_BOOT:
        return hints->boot_us ? apr_psprintf(p, "%" APR_INT64_T_FMT "ms",
                                             hints->boot_us / GB_US_PER_MS)
                              : NULL;
    case HINT_DOMAIN:
        return hints->domain;
    case HINT_MTTF:
        return hints->mttf_us ? apr_psprintf(p, "%" APR_INT64_T_FMT "s",
                                             hints->mttf_us / GB_US_PER_S)
                              : NULL;
    case HINT_COUNT:
        break;
    }
    return NULL;
}

static void copy_curve(gb_curve_t *to, const gb_curve_t *from)
{
    if (to->assumed) {
        memcpy(to->watts, from->watts, sizeof to->watts);
        to->assumed = from->assumed;
    }
    if (to->assumed_off) {
        to->off_watts = from->off_watts;
        to->assumed_off = from->assumed_off;
    }
}

/* Fills in what `to` does not say itself; capacity stays each member's own. */
static void copy_hints(mgb_hints_t *to, const mgb_hints_t *from)
{
    if (!to->machine) {
        to->machine = from->machine;
    }
    if (!to->has_mac) {
        to->has_mac = from->has_mac;
        memcpy(to->mac, from->mac, sizeof to->mac);
    }
    if (!to->wake_count) {
        to->wake_count = from->wake_count;
        memcpy(to->wake, from->wake, sizeof to->wake);
    }
    if (!to->sleep_count) {
        to->sleep_count = from->sleep_count;
        memcpy(to->sleep, from->sleep, sizeof to->sleep);
    }
    if (!to->wol_host) {
        to->wol_host = from->wol_host;
        to->wol_port = from->wol_port;
    }
    if (!to->wol_iface) {
        to->wol_iface = from->wol_iface;
    }
    if (!to->ipmi) {
        to->ipmi = from->ipmi;
    }
    if (!to->redfish) {
        to->redfish = from->redfish;
    }
    if (!to->boot_us) {
        to->boot_us = from->boot_us;
    }
    if (!to->domain) {
        to->domain = from->domain;
    }
    if (!to->mttf_us) {
        to->mttf_us = from->mttf_us;
    }
    copy_curve(&to->curve, &from->curve);
}

static mgb_keys_t *root_of(mgb_keys_t *keys)
{
    while (keys->joined) {
        keys = keys->joined;
    }
    return keys;
}

/* Members that give the same name or address are one machine. */
static void join_members(mgb_findings_t *found, const apr_array_header_t *members)
{
    static const hint_e joining[] = {HINT_MACHINE, HINT_MAC, HINT_IPMI, HINT_REDFISH};
    apr_hash_t *first_of = apr_hash_make(found->p);

    for (int i = 0; i < members->nelts; i++) {
        mgb_keys_t *keys = APR_ARRAY_IDX(members, i, mgb_keys_t *);

        for (size_t j = 0; j < sizeof joining / sizeof joining[0]; j++) {
            const char *value = show_hint(found->p, &keys->hints, joining[j]);
            const char *id;
            mgb_keys_t *first, *root = root_of(keys);

            if (!value) {
                continue;
            }
            id = apr_pstrcat(found->p, hint_names[joining[j]], "=", value, NULL);
            first = apr_hash_get(first_of, id, APR_HASH_KEY_STRING);
            if (!first) {
                apr_hash_set(first_of, id, APR_HASH_KEY_STRING, keys);
            }
            else if (root_of(first) != root) {
                root->joined = root_of(first);
            }
        }
    }
}

/* Adds a member's hints to its machine's; what contradicts is reported. */
static void add_member(mgb_findings_t *found, joined_t *machine, const mgb_keys_t *keys)
{
    for (int hint = 0; hint < HINT_COUNT; hint++) {
        const mgb_keys_t *giver = machine->giver[hint];
        const char *ours = show_hint(found->p, &keys->hints, (hint_e)hint);
        const char *theirs = show_hint(found->p, &machine->hints, (hint_e)hint);

        if (ours && !giver) {
            machine->giver[hint] = keys;
        }
        else if (ours && theirs && strcmp(ours, theirs) != 0) {
            mgb_config_report(
                found, keys->where,
                GBLOGNO(0101) "members %s of %s and %s of %s are one machine, but "
                              "differ in %s=: %s and %s",
                giver->hints.member_url, giver->balancer, keys->hints.member_url,
                keys->balancer, hint_names[hint], theirs, ours);
        }
    }
    copy_hints(&machine->hints, &keys->hints);
}

/* Does a ladder of the machine name this way?  Then `*who` says which member did so. */
static const mgb_keys_t *asks_for(const joined_t *machine, mgb_way_e way)
{
    for (uint32_t i = 0; i < machine->hints.wake_count; i++) {
        if (machine->hints.wake[i].way == way) {
            return machine->giver[HINT_WAKE];
        }
    }
    for (uint32_t i = 0; i < machine->hints.sleep_count; i++) {
        if (machine->hints.sleep[i].way == way) {
            return machine->giver[HINT_SLEEP];
        }
    }
    return NULL;
}

static void resolve_ladder(mgb_findings_t *found, mgb_rung_t *rungs, uint32_t count,
                           const mgb_keys_t *giver, const char *key)
{
    for (uint32_t i = 0; giver && i < count; i++) {
        if (rungs[i].way != MGB_WAY_EXEC) {
            continue;
        }
        rungs[i].exec =
            apr_hash_get(found->conf->exec_drivers, rungs[i].name, APR_HASH_KEY_STRING);
        if (!rungs[i].exec) {
            mgb_config_report(
                found, giver->where,
                GBLOGNO(0102) "BalancerMember %s: %s=%s: no GreenPowerDriver of that "
                              "name; allowed are %s, ipmi, redfish and the names of "
                              "GreenPowerDriver lines",
                giver->hints.member_url, key, rungs[i].name,
                *key == 's' ? "agent" : "wol");
        }
    }
}

static void check_ipmi(mgb_findings_t *found, const joined_t *machine)
{
    const mgb_keys_t *ipmi = asks_for(machine, MGB_WAY_IPMI);

    if (ipmi && !machine->hints.ipmi) {
        mgb_config_report(
            found, ipmi->where,
            GBLOGNO(0104) "BalancerMember %s: the way ipmi needs ipmi=HOST, the "
                          "address of the machine's management controller",
            ipmi->hints.member_url);
    }
    if (ipmi && !found->conf->secrets_file) {
        mgb_config_report(
            found, ipmi->where,
            GBLOGNO(0105) "BalancerMember %s: the way ipmi needs a password: add a "
                          "line \"ipmi %s USER PASSWORD\" to a file, and name it with "
                          "GreenSecrets",
            ipmi->hints.member_url, machine->hints.ipmi ? machine->hints.ipmi : "HOST");
    }
}

static void check_redfish(mgb_findings_t *found, const joined_t *machine)
{
    const mgb_keys_t *redfish = asks_for(machine, MGB_WAY_REDFISH);
    const char *url = machine->hints.redfish;

    if (redfish && !url) {
        mgb_config_report(
            found, redfish->where,
            GBLOGNO(0129) "BalancerMember %s: the way redfish needs redfish=URL, the "
                          "machine's management controller",
            redfish->hints.member_url);
    }
    if (redfish && !found->conf->secrets_file) {
        mgb_config_report(
            found, redfish->where,
            GBLOGNO(0130) "BalancerMember %s: the way redfish needs a password: add a "
                          "line \"redfish %s USER PASSWORD\" to a file, and name it "
                          "with GreenSecrets",
            redfish->hints.member_url, url ? url : "URL");
    }
}

static void check_agent(mgb_findings_t *found, const joined_t *machine)
{
    const mgb_keys_t *agent = asks_for(machine, MGB_WAY_AGENT);
    char server[GB_ORIGIN_BYTES];

    if (agent && !found->conf->secrets_file) {
        mgb_config_report(
            found, agent->where,
            GBLOGNO(0131) "BalancerMember %s: sleep=agent needs the agent's key: add a "
                          "line \"agent %s KEY\" to a file, and name it with "
                          "GreenSecrets",
            agent->hints.member_url,
            gb_parse_origin(agent->hints.member_url, server) ? server : "SERVER-URL");
    }
}

/* Passwords that anyone on the way can read: allowed, but told, all in one message. */
static void check_clear_text(mgb_findings_t *found, const apr_array_header_t *members)
{
    const joined_t *first = NULL;
    uint32_t count = 0;

    for (int i = 0; i < members->nelts; i++) {
        const joined_t *machine = APR_ARRAY_IDX(members, i, mgb_keys_t *)->machine;

        if (machine && machine->hints.redfish &&
            strncmp(machine->hints.redfish, "http:", 5) == 0) {
            first = first ? first : machine;
            count++;
        }
    }
    if (first) {
        mgb_config_warn(
            found, first->giver[HINT_REDFISH]->where,
            GBLOGNO(0132) "BalancerMember %s: redfish=%s: passwords go in the clear by "
                          "http, here and in %u more machines: use https",
            first->giver[HINT_REDFISH]->hints.member_url, first->hints.redfish,
            count - 1);
    }
}

/* Requests that give up before the server can be there: told once for a balancer. */
static void check_hold_times(mgb_findings_t *found, const apr_array_header_t *members)
{
    apr_hash_t *told = apr_hash_make(found->p);

    for (int i = 0; i < members->nelts; i++) {
        mgb_keys_t *keys = APR_ARRAY_IDX(members, i, mgb_keys_t *);
        const mgb_hints_t *hints = &root_of(keys)->machine->hints;
        const mgb_raw_pool_t *pool =
            mgb_config_find_pool(found->p, keys->server, keys->balancer);
        const int64_t timeout_us = mgb_config_value(pool, MGB_SET_HOLD_TIMEOUT);

        if (!pool || timeout_us == 0 || hints->boot_us <= timeout_us ||
            hints->wake_count == 0 || mgb_config_value(pool, MGB_SET_HOLD_MAX) == 0 ||
            apr_hash_get(told, &pool, sizeof(mgb_raw_pool_t *))) {
            continue;
        }
        apr_hash_set(told, apr_pmemdup(found->p, &pool, sizeof(mgb_raw_pool_t *)),
                     sizeof(mgb_raw_pool_t *), pool);
        mgb_config_warn(
            found, pool->set_at[MGB_SET_HOLD_TIMEOUT],
            GBLOGNO(0133) "%s: GreenHold timeout=%s is shorter than boot=%s of "
                          "BalancerMember %s: requests give up before it is there",
            pool->name, pool->text[MGB_SET_HOLD_TIMEOUT],
            show_hint(found->p, hints, HINT_BOOT), keys->hints.member_url);
    }
}

/* Has a machine what its ladders need? */
static void check_machine(mgb_findings_t *found, joined_t *machine)
{
    const mgb_keys_t *wol = asks_for(machine, MGB_WAY_WOL);

    if (wol && !machine->hints.has_mac) {
        mgb_config_report(
            found, wol->where,
            GBLOGNO(0103) "BalancerMember %s: wake=wol needs mac=, the address of the "
                          "machine's network card",
            wol->hints.member_url);
    }
    check_ipmi(found, machine);
    check_redfish(found, machine);
    check_agent(found, machine);
    resolve_ladder(found, machine->hints.wake, machine->hints.wake_count,
                   machine->giver[HINT_WAKE], "wake");
    resolve_ladder(found, machine->hints.sleep, machine->hints.sleep_count,
                   machine->giver[HINT_SLEEP], "sleep");
}

static joined_t *machine_of(mgb_findings_t *found, mgb_keys_t *root)
{
    if (!root->machine) {
        root->machine = apr_pcalloc(found->p, sizeof *root->machine);
        root->machine->hints.curve.assumed = root->machine->hints.curve.assumed_off = 1;
    }
    return root->machine;
}

void mgb_config_check_machines(mgb_findings_t *found, const apr_array_header_t *members)
{
    join_members(found, members);
    for (int i = 0; i < members->nelts; i++) {
        mgb_keys_t *keys = APR_ARRAY_IDX(members, i, mgb_keys_t *);

        add_member(found, machine_of(found, root_of(keys)), keys);
    }
    for (int i = 0; i < members->nelts; i++) {
        mgb_keys_t *keys = APR_ARRAY_IDX(members, i, mgb_keys_t *);

        if (keys->machine) {
            check_machine(found, keys->machine);
        }
    }
    check_clear_text(found, members);
    check_hold_times(found, members);
    for (int i = 0; i < members->nelts; i++) {
        mgb_keys_t *keys = APR_ARRAY_IDX(members, i, mgb_keys_t *);

        /* The ladders' drivers were looked up in the machine's copy. */
        keys->hints.wake_count = keys->hints.sleep_count = 0;
        copy_hints(&keys->hints, &machine_of(found, root_of(keys))->hints);
        mgb_config_member_default(&keys->hints);
    }
}
