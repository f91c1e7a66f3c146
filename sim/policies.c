/* SPDX-License-Identifier: Apache-2.0
 *
 * policies.c - the policies' names, and which of them are asked for.
 */
#include "values.h"

#include <stdio.h>
#include <string.h>

#define POLICY_LIST_MOST 400

static const struct {
    const char *name;
    bool in_all;
} policies[GS_POLICY_COUNT] = {
    [GB_POLICY_THRESHOLD] = {"threshold", true},
    [GB_POLICY_AUTOSCALE] = {"autoscale", true},
    [GB_POLICY_LCP] = {"lcp", true},
    [GB_POLICY_KPA] = {"kpa", true},
    [GB_POLICY_NEWS] = {"news", true},
    [GS_ALWAYS_ON] = {"always-on", true},
    [GS_REACTIVE] = {"reactive", true},
    [GS_MOVING_AVERAGE] = {"moving-average", false},
    [GS_STRAIGHT_LINE] = {"straight-line", false},
    [GS_OPT_REACTIVE] = {"opt-reactive", false},
    [GS_AUTOSCALE_RATE] = {"autoscale--", false},
    [GS_ORACLE] = {"oracle", true},
    [GS_HINDSIGHT] = {"hindsight", true},
    [GS_PLAN] = {"plan", false},
    [GS_OPTIMUM] = {"optimum", true},
    [GS_BOUND] = {"bound", true},
};

const char *gs_policy_name(gs_policy_e policy)
{
    return policy < GS_POLICY_COUNT ? policies[policy].name : "invalid";
}

gs_policy_e gs_policy_find(const char *name)
{
    gs_policy_e policy = GS_CORE_FIRST;

    while (policy < GS_POLICY_COUNT && strcmp(policies[policy].name, name) != 0) {
        policy++;
    }
    return policy;
}

/* One name, or `all`. */
static bool want_policy(const char *option, const char *name, bool *wanted)
{
    char allowed[POLICY_LIST_MOST] = "all";
    gs_policy_e found = gs_policy_find(name);
    size_t used = strlen(allowed);

    if (strcmp(name, "all") == 0) {
        for (gs_policy_e i = GS_CORE_FIRST; i < GS_POLICY_COUNT; i++) {
            wanted[i] = wanted[i] || policies[i].in_all;
        }
        return true;
    }
    if (found < GS_POLICY_COUNT) {
        wanted[found] = true;
        return true;
    }
    for (gs_policy_e i = GS_CORE_FIRST; i < GS_POLICY_COUNT; i++) {
        int added =
            snprintf(allowed + used, sizeof allowed - used, ", %s", policies[i].name);

        used += added > 0 ? (size_t)added : 0;
    }
    snprintf(allowed + used, sizeof allowed - used,
             " are allowed, with commas between");
    return gs_value_wrong(option, name, allowed);
}

bool gs_value_policies(const char *option, const char *value, bool *wanted)
{
    const char *at = value;

    for (;;) {
        char name[32];
        size_t bytes = strcspn(at, ",");

        snprintf(name, sizeof name, "%.*s", (int)(bytes < 31 ? bytes : 31), at);
        if (!want_policy(option, name, wanted)) {
            return false;
        }
        if (!at[bytes]) {
            return true;
        }
        at += bytes + 1;
    }
}
