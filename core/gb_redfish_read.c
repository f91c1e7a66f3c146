/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_redfish_read.c - what the answers of a Redfish service say.
 */
#include "gb_redfish_private.h"

#include "gb_bmc.h"
#include "gb_json.h"

#include <stdio.h>
#include <string.h>

#define MEMBERS_TOLD 4u /* in a message that names them */

gb_value_t gb_redfish_object(const gb_redfish_answer_t *answer)
{
    gb_value_t value = {NULL, NULL};

    if (!answer->body || answer->bytes > GB_REDFISH_BODY_MOST ||
        !gb_value_read(answer->body, answer->bytes, &value) ||
        gb_value_kind(value) != GB_VALUE_OBJECT) {
        value.at = NULL;
    }
    return value;
}

/* ------------------------------------------------------------------ references */

/* Characters that a path may have; a control character or a space would be a header
 * line of its own. */
static bool path_copy(const char *from, char path[GB_REDFISH_PATH_BYTES])
{
    size_t length = 0;

    if (from[0] != '/' || from[1] == '/') {
        return false;
    }
    for (; from[length] && from[length] != '#'; length++) {
        if (from[length] <= ' ' || from[length] > '~' ||
            strchr("\"<>\\^`{|}", from[length]) ||
            length + 1 == GB_REDFISH_PATH_BYTES) {
            return false;
        }
    }
    memcpy(path, from, length);
    path[length] = '\0';
    return true;
}

bool gb_redfish_resolve(const char *origin, const char *reference,
                        char path[GB_REDFISH_PATH_BYTES])
{
    const char *host = strstr(reference, "://");
    char authority[GB_URL_BYTES], url[GB_URL_BYTES];
    size_t length;

    path[0] = '\0';
    if (reference[0] == '/' || !host) {
        return path_copy(reference, path);
    }
    length = (size_t)(host + 3 - reference) + strcspn(host + 3, "/?#");
    if (length >= sizeof authority) {
        return false;
    }
    memcpy(authority, reference, length);
    authority[length] = '\0';
    return gb_parse_url(authority, url) && strcmp(url, origin) == 0 &&
           path_copy(reference[length] ? reference + length : "/", path);
}

bool gb_redfish_link(const char *origin, gb_value_t object,
                     char path[GB_REDFISH_PATH_BYTES])
{
    char reference[GB_REDFISH_PATH_BYTES];

    path[0] = '\0';
    return gb_value_text(gb_value_member(object, "@odata.id"), reference,
                         sizeof reference) &&
           gb_redfish_resolve(origin, reference, path);
}

bool gb_redfish_monitor(const char *origin, const gb_redfish_answer_t *answer,
                        char path[GB_REDFISH_PATH_BYTES])
{
    gb_value_t task = gb_redfish_object(answer);
    char reference[GB_REDFISH_PATH_BYTES];

    return (answer->location && gb_redfish_resolve(origin, answer->location, path)) ||
           (gb_value_text(gb_value_member(task, "TaskMonitor"), reference,
                          sizeof reference) &&
            gb_redfish_resolve(origin, reference, path)) ||
           gb_redfish_link(origin, task, path);
}

/* ------------------------------------------------------------------ errors */

/* A text of any length, cut and made printable. */
static bool text_of(gb_value_t value, char text[GB_REDFISH_TEXT_BYTES])
{
    char whole[1024];

    if (!gb_value_text(value, whole, sizeof whole) || !whole[0]) {
        return false;
    }
    gb_bmc_printable(text, GB_REDFISH_TEXT_BYTES, whole, strlen(whole));
    return true;
}

void gb_redfish_message(const gb_redfish_answer_t *answer,
                        char text[GB_REDFISH_TEXT_BYTES])
{
    gb_value_t error = gb_value_member(gb_redfish_object(answer), "error");
    gb_value_t extended =
        gb_value_element(gb_value_member(error, "@Message.ExtendedInfo"), 0);

    text[0] = '\0';
    (void)(text_of(gb_value_member(extended, "Message"), text) ||
           text_of(gb_value_member(extended, "MessageId"), text) ||
           text_of(gb_value_member(error, "message"), text) ||
           text_of(gb_value_member(error, "code"), text));
}

/* ------------------------------------------------------------------ systems */

bool gb_redfish_power(gb_value_t system, char state[16], bool *powered)
{
    static const struct {
        const char *name;
        bool powered;
    } states[] = {{"On", true},
                  {"Off", false},
                  {"PoweringOn", true},
                  {"PoweringOff", true},
                  {"Paused", true}};
    gb_value_t value = gb_value_member(system, "PowerState");

    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        if (gb_value_says(value, states[i].name)) {
            snprintf(state, 16, "%s", states[i].name);
            *powered = states[i].powered;
            return true;
        }
    }
    return false;
}

static bool allows(gb_value_t allowed, const char *type)
{
    for (gb_value_t each = gb_value_element(allowed, 0); each.at;
         each = gb_value_next(each)) {
        if (gb_value_says(each, type)) {
            return true;
        }
    }
    return false;
}

const char *gb_redfish_choose(gb_redfish_op_e op, gb_value_t allowed, const char *state)
{
    /* The button does one thing or the other, by a state that may have changed since
     * it was read: last. */
    static const char *const on[] = {"On", "ForceOn"},
                             *const off[] = {"GracefulShutdown", NULL},
                             *const cut[] = {"ForceOff", NULL};
    const char *const *types = op == GB_REDFISH_ON    ? on
                               : op == GB_REDFISH_OFF ? off
                                                      : cut;

    if (gb_value_kind(allowed) != GB_VALUE_ARRAY || !gb_value_count(allowed)) {
        return types[0];
    }
    for (size_t i = 0; i < 2 && types[i]; i++) {
        if (allows(allowed, types[i])) {
            return types[i];
        }
    }
    if (op != GB_REDFISH_CUT && allows(allowed, "PushPowerButton") &&
        strcmp(state, op == GB_REDFISH_ON ? "Off" : "On") == 0) {
        return "PushPowerButton";
    }
    return NULL;
}

gb_value_t gb_redfish_allowed(gb_value_t action_info)
{
    gb_value_t parameters = gb_value_member(action_info, "Parameters");

    for (gb_value_t each = gb_value_element(parameters, 0); each.at;
         each = gb_value_next(each)) {
        if (gb_value_says(gb_value_member(each, "Name"), "ResetType")) {
            return gb_value_member(each, "AllowableValues");
        }
    }
    return (gb_value_t){NULL, NULL};
}

void gb_redfish_list(gb_value_t array, char *to, size_t room)
{
    gb_value_t each = gb_value_element(array, 0);
    uint32_t count = gb_value_count(array);
    size_t length = 0;

    to[0] = '\0';
    for (uint32_t i = 0; each.at && length < room; i++, each = gb_value_next(each)) {
        gb_value_t element = each;
        char text[GB_REDFISH_TEXT_BYTES];
        int added;

        if (i == MEMBERS_TOLD && count > MEMBERS_TOLD + 1) {
            snprintf(to + length, room - length, " and %u more", count - MEMBERS_TOLD);
            return;
        }
        if (gb_value_kind(element) == GB_VALUE_OBJECT) {
            element = gb_value_member(element, "@odata.id");
        }
        if (!text_of(element, text)) {
            continue;
        }
        added = snprintf(to + length, room - length, "%s%s", length ? ", " : "", text);
        length += added > 0 ? (size_t)added : 0;
    }
}

/* ------------------------------------------------------------------ tasks */

gb_redfish_task_e gb_redfish_task(const gb_redfish_answer_t *answer)
{
    static const char *const failed[] = {"Exception", "Killed", "Cancelled",
                                         "Interrupted"};
    gb_value_t state = gb_value_member(gb_redfish_object(answer), "TaskState");

    if (answer->status == 202) {
        return GB_REDFISH_TASK_RUNS;
    }
    if (gb_value_kind(state) != GB_VALUE_TEXT) {
        return GB_REDFISH_TASK_NONE;
    }
    for (size_t i = 0; i < sizeof failed / sizeof failed[0]; i++) {
        if (gb_value_says(state, failed[i])) {
            return GB_REDFISH_TASK_FAILED;
        }
    }
    return gb_value_says(state, "Completed") ? GB_REDFISH_TASK_ENDED
                                             : GB_REDFISH_TASK_RUNS;
}

/* ------------------------------------------------------------------ watts */

bool gb_redfish_reading(gb_value_t value, double *watts)
{
    return gb_value_number(value, watts) && *watts >= 0 && *watts <= GB_WATTS_MOST;
}

/* ------------------------------------------------------------------ sessions */

gb_redfish_root_e gb_redfish_sessions(const char *origin,
                                      const gb_redfish_answer_t *root,
                                      char path[GB_REDFISH_PATH_BYTES])
{
    gb_value_t object = gb_redfish_object(root);

    path[0] = '\0';
    if (gb_value_kind(gb_value_member(object, "RedfishVersion")) != GB_VALUE_TEXT &&
        gb_value_kind(gb_value_member(object, "Systems")) != GB_VALUE_OBJECT) {
        return GB_REDFISH_ROOT_NONE;
    }
    if (gb_redfish_link(origin, gb_value_within(object, "Links", "Sessions"), path)) {
        return GB_REDFISH_ROOT_SESSIONS;
    }
    if (gb_value_kind(gb_value_member(object, "SessionService")) != GB_VALUE_OBJECT) {
        return GB_REDFISH_ROOT_BASIC;
    }
    snprintf(path, GB_REDFISH_PATH_BYTES, "%s", GB_REDFISH_SESSIONS);
    return GB_REDFISH_ROOT_SESSIONS;
}

size_t gb_redfish_login(char *to, size_t room, const char *user, const char *password)
{
    gb_json_t json;

    gb_json_start(&json, to, room);
    gb_json_open_object(&json);
    gb_json_key(&json, "UserName");
    gb_json_string(&json, user);
    gb_json_key(&json, "Password");
    gb_json_string(&json, password);
    gb_json_close_object(&json);
    return gb_json_finish(&json) ? json.bytes : 0;
}

bool gb_redfish_session(const char *origin, const gb_redfish_answer_t *made,
                        char path[GB_REDFISH_PATH_BYTES])
{
    return (made->location && gb_redfish_resolve(origin, made->location, path)) ||
           gb_redfish_link(origin, gb_redfish_object(made), path);
}
