/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_types.c - the names of states, wishes and events, as users see them.
 */
#include "gb_types.h"

const char *gb_state_name(gb_state_e state)
{
    static const char *const names[GB_ST_COUNT] = {
        [GB_ST_UNKNOWN] = "unknown",   [GB_ST_ON] = "on",
        [GB_ST_DRAINING] = "draining", [GB_ST_STOPPING] = "stopping",
        [GB_ST_ASLEEP] = "asleep",     [GB_ST_WAKING] = "waking",
        [GB_ST_FAILED] = "failed",
    };

    /* As unsigned, so that a negative number of a damaged cell is caught as well. */
    return (uint32_t)state < GB_ST_COUNT ? names[state] : "invalid";
}

const char *gb_wish_name(gb_wish_e wish)
{
    static const char *const names[GB_WISH_COUNT] = {
        [GB_WISH_AUTO] = "auto",
        [GB_WISH_KEEP_ON] = "keep_on",
        [GB_WISH_KEEP_OFF] = "keep_off",
    };

    return (uint32_t)wish < GB_WISH_COUNT ? names[wish] : "invalid";
}

const char *gb_event_name(gb_event_e event)
{
    static const char *const names[GB_EV_COUNT] = {
        [GB_EV_PROBE_PASSED] = "probe passed",
        [GB_EV_PROBE_FAILED] = "probe failed",
        [GB_EV_PROVED_OFF] = "proved off",
        [GB_EV_ANSWERED] = "answered",
        [GB_EV_FOUND_POWERED] = "found powered",
        [GB_EV_FOUND_UNPOWERED] = "found unpowered",
        [GB_EV_WAKE_WANTED] = "wake wanted",
        [GB_EV_SLEEP_WANTED] = "sleep wanted",
        [GB_EV_OPERATOR_WAKE] = "operator: wake",
        [GB_EV_OPERATOR_SLEEP] = "operator: sleep",
        [GB_EV_OPERATOR_AUTO] = "operator: auto",
        [GB_EV_DRAINED] = "drained",
        [GB_EV_LADDER_EXHAUSTED] = "ladder exhausted",
        [GB_EV_DEADLINE_PASSED] = "deadline passed",
        [GB_EV_RETRY_DUE] = "retry due",
        [GB_EV_ADMIN_TOOK] = "administrator took it",
        [GB_EV_SWITCHED_OFF] = "switched off",
    };

    return (uint32_t)event < GB_EV_COUNT ? names[event] : "invalid";
}
