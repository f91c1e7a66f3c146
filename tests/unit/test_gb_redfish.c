/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_redfish.c - the way of an operation through a Redfish service.
 */
#include "core/gb_redfish_private.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define SYSTEM "/redfish/v1/Systems/1"
#define TARGET SYSTEM "/Actions/ComputerSystem.Reset"

static gb_redfish_place_t place;
static gb_redfish_run_t run;

static void begin(const char *url, gb_redfish_op_e op)
{
    gb_redfish_place(&place, url);
    gb_redfish_begin(&run, &place, op);
}

static void begin_system(gb_redfish_op_e op)
{
    begin("https://bmc" SYSTEM, op);
    ck_assert_str_eq(run.ask.path, SYSTEM);
}

static gb_redfish_next_e take_with(uint32_t status, const char *body, const char *etag,
                                   const char *location)
{
    gb_redfish_answer_t answer = {.status = status,
                                  .why = "why",
                                  .body = body,
                                  .bytes = body ? strlen(body) : 0,
                                  .etag = etag,
                                  .location = location};

    return gb_redfish_take(&run, &place, &answer);
}

static gb_redfish_next_e take(uint32_t status, const char *body)
{
    return take_with(status, body, NULL, NULL);
}

/* A system in that state that allows these reset types. */
static const char *system_with(const char *state, const char *allowed)
{
    static char text[1024];

    snprintf(text, sizeof text,
             "{\"PowerState\": \"%s\", \"Actions\": {\"#ComputerSystem.Reset\": "
             "{\"target\": \"" TARGET "\"%s%s}}, \"Links\": {\"Chassis\": "
             "[{\"@odata.id\": \"/redfish/v1/Chassis/1\"}]}}",
             state, allowed ? ", \"ResetType@Redfish.AllowableValues\": " : "",
             allowed ? allowed : "");
    return text;
}

static void expect_done(gb_redfish_next_e next, gb_ladder_result_e result,
                        const char *words)
{
    ck_assert_int_eq(next, GB_REDFISH_DONE);
    ck_assert_msg(run.result == result, "%d: %s", run.result, run.text);
    ck_assert_msg(strstr(run.text, words) != NULL, "%s", run.text);
}

static void expect_ask(gb_redfish_next_e next, bool post, const char *path)
{
    ck_assert_msg(next == GB_REDFISH_ASK, "%s", run.text);
    ck_assert_int_eq(run.ask.post, post);
    ck_assert_str_eq(run.ask.path, path);
}

/* ------------------------------------------------------------------ time */

/* Each element costs the same, wherever it stands: 100,000 of them held the keeper for
 * minutes when each was looked for from the first one on.  The runner's time-out is
 * what fails this test. */
START_TEST(reset_types_by_the_hundred_thousand_do_not_hold_the_keeper)
{
    static char text[200 * 1000 + 400];
    size_t length =
        (size_t)snprintf(text, sizeof text,
                         "{\"PowerState\": \"On\", \"Actions\": "
                         "{\"#ComputerSystem.Reset\": {\"target\": "
                         "\"" TARGET "\", \"ResetType@Redfish.AllowableValues\": [0");

    for (int i = 0; i < 100 * 1000; i++) {
        text[length++] = ',';
        text[length++] = '0';
    }
    snprintf(text + length, sizeof text - length, "]}}}");
    begin_system(GB_REDFISH_OFF);
    expect_done(take(200, text), GB_LADDER_REFUSED, "no soft way off");
}
END_TEST

/* ------------------------------------------------------------------ status */

static const struct {
    const char *state;
    bool powered;
} states[] = {{"On", true},
              {"Off", false},
              {"PoweringOn", true},
              {"PoweringOff", true},
              {"Paused", true}};

START_TEST(status_is_read)
{
    begin_system(GB_REDFISH_STATUS);
    expect_done(take(200, system_with(states[_i].state, NULL)), GB_LADDER_OK,
                states[_i].powered ? "on" : "off");
    ck_assert_int_eq(run.powered, states[_i].powered);
    ck_assert_str_eq(place.system, SYSTEM);
}
END_TEST

static const char *const unclear[] = {
    "{}",
    "{\"PowerState\": null}",
    "{\"PowerState\": \"on\"}",
    "{\"PowerState\": true}",
    "[\"On\"]",
    "{\"PowerState\": \"On\"",
    "",
};

START_TEST(status_that_is_unclear_is_lost)
{
    begin_system(GB_REDFISH_STATUS);
    expect_done(take(200, unclear[_i]), GB_LADDER_LOST, "");
}
END_TEST

START_TEST(service_with_one_system_is_followed)
{
    static const char *const urls[] = {"https://bmc", "https://bmc/redfish",
                                       "https://bmc/redfish/v1"};

    for (size_t i = 0; i < 3; i++) {
        begin(urls[i], GB_REDFISH_STATUS);
        ck_assert_str_eq(run.ask.path, "/redfish/v1/");
        expect_ask(take(200, "{\"Systems\": {\"@odata.id\": \"/redfish/v1/Systems\"}}"),
                   false, "/redfish/v1/Systems");
        expect_ask(take(200, "{\"Members\": [{\"@odata.id\": \"" SYSTEM "\"}]}"), false,
                   SYSTEM);
        expect_done(take(200, system_with("On", NULL)), GB_LADDER_OK, "on");
        gb_redfish_begin(&run, &place, GB_REDFISH_STATUS);
        ck_assert_str_eq(run.ask.path, SYSTEM); /* it is known now */
    }
}
END_TEST

START_TEST(service_with_more_systems_names_them)
{
    begin("https://bmc", GB_REDFISH_STATUS);
    (void)take(200, "{\"Systems\": {\"@odata.id\": \"/redfish/v1/Systems\"}}");
    expect_done(
        take(200,
             "{\"Members\": [{\"@odata.id\": \"/s/1\"}, {\"@odata.id\": \"/s/2\"}]}"),
        GB_LADDER_REFUSED, "2 systems: redfish= has to name one: /s/1, /s/2");
    begin("https://bmc", GB_REDFISH_STATUS);
    (void)take(200, "{\"Systems\": {\"@odata.id\": \"/redfish/v1/Systems\"}}");
    expect_done(take(200, "{\"Members\": []}"), GB_LADDER_REFUSED, "no system");
    begin("https://bmc", GB_REDFISH_STATUS);
    expect_done(take(200, "{\"RedfishVersion\": \"1.0.0\"}"), GB_LADDER_REFUSED,
                "no Systems");
}
END_TEST

/* A resource that is its own collection's only member was asked for 4,000 times a
 * second until the operation's time was over. */
START_TEST(circle_of_links_comes_to_an_end)
{
    static const char *const circles[] = {
        "{\"Members\": [{\"@odata.id\": \"" SYSTEM "\"}]}",
        "{\"Systems\": {\"@odata.id\": \"" SYSTEM "\"}, \"Members\": 1}",
        "{\"Systems\": {\"@odata.id\": \"" SYSTEM "\"},"
        " \"Members\": [{\"@odata.id\": \"" SYSTEM "\"}]}"};

    for (size_t i = 0; i < sizeof circles / sizeof circles[0]; i++) {
        uint32_t asked = 0;

        begin_system(GB_REDFISH_STATUS);
        while (take(200, circles[i]) == GB_REDFISH_ASK) {
            ck_assert_uint_lt(++asked, 8);
        }
        ck_assert_int_eq(run.result, GB_LADDER_REFUSED);
    }
}
END_TEST

START_TEST(system_that_moved_is_looked_for_again)
{
    begin("https://bmc", GB_REDFISH_STATUS);
    snprintf(place.system, sizeof place.system, "/redfish/v1/Systems/old");
    gb_redfish_begin(&run, &place, GB_REDFISH_STATUS);
    expect_ask(take(404, NULL), false, "/redfish/v1/");
    expect_ask(take(200, "{\"Systems\": {\"@odata.id\": \"/redfish/v1/Systems\"}}"),
               false, "/redfish/v1/Systems");
    expect_done(take(404, NULL), GB_LADDER_REFUSED, "no such resource");
}
END_TEST

/* ------------------------------------------------------------------ orders */

static const struct {
    gb_redfish_op_e op;
    const char *state, *allowed, *type; /* NULL: refused */
} choices[] = {
    {GB_REDFISH_ON, "Off", "[\"ForceOn\", \"On\"]", "On"},
    {GB_REDFISH_ON, "Off", "[\"ForceOff\", \"ForceOn\"]", "ForceOn"},
    {GB_REDFISH_ON, "Off", "[\"PushPowerButton\"]", "PushPowerButton"},
    {GB_REDFISH_ON, "Off", "[\"ForceRestart\"]", NULL},
    {GB_REDFISH_ON, "Off", NULL, "On"},
    {GB_REDFISH_ON, "Off", "[]", "On"},
    {GB_REDFISH_OFF, "On", "[\"ForceOff\", \"GracefulShutdown\"]", "GracefulShutdown"},
    {GB_REDFISH_OFF, "On", "[\"ForceOff\", \"PushPowerButton\"]", "PushPowerButton"},
    {GB_REDFISH_OFF, "PoweringOn", "[\"PushPowerButton\"]", NULL},
    {GB_REDFISH_OFF, "On", "[\"ForceOff\", \"PowerCycle\"]", NULL},
    {GB_REDFISH_OFF, "On", NULL, "GracefulShutdown"},
    {GB_REDFISH_CUT, "On", "[\"ForceOff\", \"PushPowerButton\"]", "ForceOff"},
    {GB_REDFISH_CUT, "PoweringOff", NULL, "ForceOff"},
    {GB_REDFISH_CUT, "On", "[\"GracefulShutdown\", \"PushPowerButton\"]", NULL},
};

START_TEST(reset_type_is_chosen)
{
    gb_redfish_next_e next;
    char body[64];

    begin_system(choices[_i].op);
    next = take(200, system_with(choices[_i].state, choices[_i].allowed));
    if (!choices[_i].type) {
        expect_done(next, GB_LADDER_REFUSED, "it has no ");
        return;
    }
    expect_ask(next, true, TARGET);
    snprintf(body, sizeof body, "{\"ResetType\": \"%s\"}", choices[_i].type);
    ck_assert_str_eq(run.ask.body, body);
    expect_done(take(204, NULL), GB_LADDER_OK, "is accepted");
}
END_TEST

START_TEST(order_that_is_fulfilled_is_not_given)
{
    static const struct {
        gb_redfish_op_e op;
        const char *state, *words;
    } cases[] = {{GB_REDFISH_ON, "On", "was on already"},
                 {GB_REDFISH_ON, "PoweringOn", "is powering on already"},
                 {GB_REDFISH_ON, "PoweringOff", "is shutting down already"},
                 {GB_REDFISH_OFF, "Off", "was off already"},
                 {GB_REDFISH_OFF, "PoweringOff", "is shutting down already"},
                 {GB_REDFISH_CUT, "Off", "was off already"}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin_system(cases[i].op);
        expect_done(take(200, system_with(cases[i].state, NULL)), GB_LADDER_OK,
                    cases[i].words);
    }
}
END_TEST

START_TEST(allowed_types_come_from_action_info)
{
    static const char with_info[] =
        "{\"PowerState\": \"On\", \"Actions\": {\"#ComputerSystem.Reset\": "
        "{\"target\": "
        "\"" TARGET "\", \"@Redfish.ActionInfo\": \"/info\"}}}";

    begin_system(GB_REDFISH_OFF);
    expect_ask(take_with(200, with_info, "\"t1\"", NULL), false, "/info");
    expect_ask(take(200,
                    "{\"Parameters\": [{\"Name\": \"X\"}, {\"Name\": \"ResetType\", "
                    "\"AllowableValues\": [\"On\", \"PushPowerButton\"]}]}"),
               true, TARGET);
    ck_assert_str_eq(run.ask.body, "{\"ResetType\": \"PushPowerButton\"}");
    ck_assert_str_eq(run.ask.if_match, "\"t1\"");
    /* One that is not there, or says nothing, leaves the usual. */
    begin_system(GB_REDFISH_OFF);
    (void)take(200, with_info);
    expect_ask(take(404, NULL), true, TARGET);
    begin_system(GB_REDFISH_OFF);
    (void)take(200, with_info);
    expect_ask(take(200, "garbage"), true, TARGET);
}
END_TEST

START_TEST(system_without_the_action_is_refused)
{
    begin_system(GB_REDFISH_ON);
    expect_done(take(200, "{\"PowerState\": \"Off\"}"), GB_LADDER_REFUSED,
                "no reset action");
    begin_system(GB_REDFISH_ON);
    expect_done(take(200, "{\"PowerState\": \"Off\", \"Actions\": "
                          "{\"#ComputerSystem.Reset\": {\"target\": "
                          "\"https://elsewhere/x\"}}}"),
                GB_LADDER_REFUSED, "no reset action");
}
END_TEST

START_TEST(etag_is_sent_and_fetched_again_once)
{
    begin_system(GB_REDFISH_ON);
    (void)take_with(200, system_with("Off", NULL), "W/\"a\"", NULL);
    ck_assert_str_eq(run.ask.if_match, "W/\"a\"");
    expect_ask(take(412, NULL), false, SYSTEM);
    ck_assert_str_eq(run.ask.if_match, "");
    expect_ask(take_with(200, system_with("Off", NULL), "W/\"b\"", NULL), true, TARGET);
    ck_assert_str_eq(run.ask.if_match, "\"b\"");
    expect_done(take(412, NULL), GB_LADDER_LOST, "ETag");
    /* Required, and none was given. */
    begin_system(GB_REDFISH_ON);
    (void)take(200, system_with("Off", NULL));
    ck_assert_str_eq(run.ask.if_match, "");
    (void)take(428, NULL);
    expect_ask(take(200, system_with("Off", NULL)), true, TARGET);
    ck_assert_str_eq(run.ask.if_match, "*");
    /* One that would be a header line of its own is left out. */
    begin_system(GB_REDFISH_ON);
    (void)take_with(200, system_with("Off", NULL), "\"a\r\nX: y\"", NULL);
    ck_assert_str_eq(run.ask.if_match, "");
}
END_TEST

START_TEST(refused_order_is_explained_by_the_state)
{
    static const char said[] =
        "{\"error\": {\"@Message.ExtendedInfo\": [{\"Message\": \"Not now.\"}]}}";
    static const uint32_t codes[] = {409, 400};

    for (size_t i = 0; i < 2; i++) {
        begin_system(GB_REDFISH_OFF);
        (void)take(200, system_with("On", NULL));
        expect_ask(take(codes[i], said), false, SYSTEM);
        expect_done(take(200, system_with("Off", NULL)), GB_LADDER_OK,
                    "was off already");
        begin_system(GB_REDFISH_OFF);
        (void)take(200, system_with("On", NULL));
        (void)take(codes[i], said);
        expect_done(take(200, system_with("On", NULL)),
                    codes[i] == 409 ? GB_LADDER_LOST : GB_LADDER_REFUSED, "Not now.");
    }
}
END_TEST

/* ------------------------------------------------------------------ tasks */

static void order_taken(uint32_t status, const char *body, const char *location)
{
    begin_system(GB_REDFISH_OFF);
    (void)take(200, system_with("On", NULL));
    ck_assert_int_eq(take_with(status, body, NULL, location), GB_REDFISH_PAUSE);
    ck_assert_int_gt(run.pause_us, 0);
}

START_TEST(task_is_asked_until_it_ends)
{
    order_taken(202, NULL, "https://bmc/monitor/1");
    ck_assert_str_eq(run.ask.path, "/monitor/1");
    ck_assert_int_eq(take(202, "{\"TaskState\": \"Running\"}"), GB_REDFISH_PAUSE);
    ck_assert_int_eq(take(503, NULL), GB_REDFISH_PAUSE);
    ck_assert_int_eq(take(0, NULL), GB_REDFISH_PAUSE);
    expect_done(take(204, NULL), GB_LADDER_OK, "its task is done");
    order_taken(202, "{\"@odata.id\": \"/task/2\", \"TaskState\": \"New\"}", NULL);
    ck_assert_str_eq(run.ask.path, "/task/2");
    ck_assert_int_eq(take(200, "{\"TaskState\": \"Running\"}"), GB_REDFISH_PAUSE);
    expect_done(take(200, "{\"TaskState\": \"Completed\"}"), GB_LADDER_OK, "done");
    order_taken(200, "{\"TaskMonitor\": \"/m\", \"TaskState\": \"Pending\"}", NULL);
    ck_assert_str_eq(run.ask.path, "/m");
    expect_done(take(404, NULL), GB_LADDER_OK, "accepted");
}
END_TEST

START_TEST(task_that_fails_is_lost)
{
    order_taken(202, NULL, "/m");
    expect_done(take(200, "{\"TaskState\": \"Exception\", \"Messages\": [{\"Message\": "
                          "\"no\\u0007\"}]}"),
                GB_LADDER_LOST, "failed: no?");
    order_taken(202, NULL, "/m");
    expect_done(take(400, "{\"error\": {\"message\": \"bad\"}}"), GB_LADDER_LOST,
                "failed: bad");
    order_taken(202, NULL, "/m");
    expect_done(take(500, NULL), GB_LADDER_LOST, "failed");
}
END_TEST

START_TEST(task_without_an_address_is_accepted)
{
    begin_system(GB_REDFISH_OFF);
    (void)take(200, system_with("On", NULL));
    expect_done(take_with(202, NULL, NULL, "https://elsewhere/m"), GB_LADDER_OK,
                "accepted");
}
END_TEST

START_TEST(polls_are_bounded)
{
    gb_redfish_next_e next = GB_REDFISH_PAUSE;
    int polls = 0;

    order_taken(202, NULL, "/m");
    while (next == GB_REDFISH_PAUSE && polls < 1000) {
        next = take(202, NULL);
        polls++;
    }
    expect_done(next, GB_LADDER_OK, "its task still runs");
    ck_assert_int_lt(polls, 100);
    order_taken(202, NULL, "/m");
    gb_redfish_expire(&run);
    expect_done(GB_REDFISH_DONE, GB_LADDER_OK, "its task still runs");
    begin_system(GB_REDFISH_OFF);
    gb_redfish_expire(&run);
    expect_done(GB_REDFISH_DONE, GB_LADDER_LOST, "in time");
}
END_TEST

/* ------------------------------------------------------------------ watts */

START_TEST(watts_are_read_by_the_newest_resource)
{
    begin_system(GB_REDFISH_WATTS);
    expect_ask(take(200, system_with("On", NULL)), false, "/redfish/v1/Chassis/1");
    expect_ask(take(200, "{\"EnvironmentMetrics\": {\"@odata.id\": \"/env\"}, "
                         "\"Power\": {\"@odata.id\": \"/power\"}}"),
               false, "/env");
    expect_done(take(200, "{\"PowerWatts\": {\"Reading\": 123.5}}"), GB_LADDER_OK,
                "123.5 W");
    ck_assert_double_eq(run.watts, 123.5);
    gb_redfish_begin(&run, &place, GB_REDFISH_WATTS);
    expect_ask(GB_REDFISH_ASK, false, "/env"); /* known now */
    expect_ask(take(200, "{\"PowerWatts\": {\"Reading\": null}}"), false, "/power");
    expect_done(take(200, "{\"PowerControl\": [{\"PowerConsumedWatts\": 80}]}"),
                GB_LADDER_OK, "80.0 W");
}
END_TEST

static const char *const no_watts[] = {
    "{\"PowerControl\": [{\"PowerConsumedWatts\": null}]}",
    "{\"PowerControl\": [{\"PowerConsumedWatts\": -1}]}",
    "{\"PowerControl\": [{\"PowerConsumedWatts\": 1e9}]}",
    "{\"PowerControl\": [{\"PowerConsumedWatts\": \"80\"}]}",
    "{\"PowerControl\": []}",
    "{}",
};

START_TEST(no_reading_is_lost)
{
    begin_system(GB_REDFISH_WATTS);
    (void)take(200, system_with("On", NULL));
    expect_ask(take(200, "{\"Power\": {\"@odata.id\": \"/power\"}}"), false, "/power");
    expect_done(take(200, no_watts[_i]), GB_LADDER_LOST, "no reading");
}
END_TEST

START_TEST(machine_that_measures_nothing_is_refused)
{
    begin_system(GB_REDFISH_WATTS);
    expect_done(take(200, "{\"PowerState\": \"On\"}"), GB_LADDER_REFUSED, "no chassis");
    begin_system(GB_REDFISH_WATTS);
    (void)take(200, system_with("On", NULL));
    expect_done(take(200, "{}"), GB_LADDER_REFUSED, "measures no power");
}
END_TEST

/* ------------------------------------------------------------------ errors */

static const struct {
    uint32_t status;
    gb_ladder_result_e result;
    const char *words;
} errors[] = {
    {400, GB_LADDER_REFUSED, "refuses (400: No.)"},
    {401, GB_LADDER_REFUSED, "login is refused"},
    {403, GB_LADDER_REFUSED, "may not"},
    {404, GB_LADDER_REFUSED, "no such resource"},
    {405, GB_LADDER_REFUSED, "no such resource"},
    {408, GB_LADDER_LOST, "busy"},
    {409, GB_LADDER_LOST, "refuses"},
    {429, GB_LADDER_LOST, "busy"},
    {500, GB_LADDER_LOST, "busy"},
    {501, GB_LADDER_REFUSED, "no such resource"},
    {503, GB_LADDER_LOST, "busy (503: No.)"},
    {0, GB_LADDER_LOST, "why"},
};

START_TEST(error_means)
{
    begin_system(GB_REDFISH_STATUS);
    expect_done(
        take(errors[_i].status,
             "{\"error\": {\"@Message.ExtendedInfo\": [{\"Message\": \"No.\"}]}}"),
        errors[_i].result, errors[_i].words);
}
END_TEST

START_TEST(redirect_within_the_service_is_followed)
{
    begin_system(GB_REDFISH_STATUS);
    expect_ask(take_with(308, NULL, NULL, SYSTEM "/"), false, SYSTEM "/");
    expect_ask(take_with(301, NULL, NULL, "https://BMC:443/x"), false, "/x");
    (void)take_with(302, NULL, NULL, "/y");
    expect_done(take_with(302, NULL, NULL, "/z"), GB_LADDER_REFUSED, "redirects");
    begin_system(GB_REDFISH_STATUS);
    expect_done(take_with(302, NULL, NULL, "https://bmc:8443/x"), GB_LADDER_REFUSED,
                "redirects");
    /* An order that became a question would be none. */
    begin_system(GB_REDFISH_OFF);
    (void)take(200, system_with("On", NULL));
    expect_done(take_with(302, NULL, NULL, "/x"), GB_LADDER_REFUSED, "redirects");
}
END_TEST

static const struct {
    const char *reference, *path; /* NULL: refused */
} references[] = {
    {"/a/b", "/a/b"},
    {"/a?x=1#frag", "/a?x=1"},
    {"https://bmc/a", "/a"},
    {"HTTPS://BMC:443/a#/0", "/a"},
    {"https://bmc", "/"},
    {"//evil/a", NULL},
    {"a/b", NULL},
    {"", NULL},
    {"http://bmc/a", NULL},
    {"https://bmc.evil/a", NULL},
    {"https://bmc@evil/a", NULL},
    {"https://evil/https://bmc/", NULL},
    {"/a b", NULL},
    {"/a\r\nX: y", NULL},
    {"/a\"", NULL},
    {"/\xc3\xa9", NULL},
};

START_TEST(reference_stays_within_the_service)
{
    char path[GB_REDFISH_PATH_BYTES];
    bool good = gb_redfish_resolve("https://bmc", references[_i].reference, path);

    ck_assert_int_eq(good, references[_i].path != NULL);
    if (good) {
        ck_assert_str_eq(path, references[_i].path);
    }
}
END_TEST

START_TEST(reference_that_is_too_long_is_refused)
{
    char path[GB_REDFISH_PATH_BYTES], longer[GB_REDFISH_PATH_BYTES + 1];

    memset(longer, 'x', sizeof longer);
    longer[0] = '/';
    longer[GB_REDFISH_PATH_BYTES] = '\0';
    ck_assert(!gb_redfish_resolve("https://bmc", longer, path));
    longer[GB_REDFISH_PATH_BYTES - 1] = '\0';
    ck_assert(gb_redfish_resolve("https://bmc", longer, path));
}
END_TEST

/* ------------------------------------------------------------------ sessions */

START_TEST(sessions_are_found)
{
    static const struct {
        const char *body;
        gb_redfish_root_e root;
        const char *path;
    } roots[] = {
        {"{\"RedfishVersion\": \"1.0\", \"Links\": {\"Sessions\": {\"@odata.id\": "
         "\"/s\"}}}",
         GB_REDFISH_ROOT_SESSIONS, "/s"},
        {"{\"RedfishVersion\": \"1.0\", \"SessionService\": {}}",
         GB_REDFISH_ROOT_SESSIONS, GB_REDFISH_SESSIONS},
        {"{\"RedfishVersion\": \"1.0\"}", GB_REDFISH_ROOT_BASIC, ""},
        {"{\"a\": 1}", GB_REDFISH_ROOT_NONE, ""},
        {"<html>", GB_REDFISH_ROOT_NONE, ""},
    };
    char path[GB_REDFISH_PATH_BYTES];

    for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++) {
        gb_redfish_answer_t answer = {
            .status = 200, .body = roots[i].body, .bytes = strlen(roots[i].body)};

        ck_assert_int_eq(gb_redfish_sessions("https://bmc", &answer, path),
                         roots[i].root);
        ck_assert_str_eq(path, roots[i].path);
    }
}
END_TEST

START_TEST(login_is_json_whatever_the_password)
{
    char body[256];

    ck_assert_uint_eq(gb_redfish_login(body, sizeof body, "a\"b", "c\\d\n"),
                      strlen(body));
    ck_assert_str_eq(body, "{\"UserName\":\"a\\\"b\",\"Password\":\"c\\\\d\\n\"}");
    ck_assert_uint_eq(gb_redfish_login(body, 10, "user", "password"), 0);
}
END_TEST

START_TEST(message_is_printable_and_cut)
{
    char body[1024], text[GB_REDFISH_TEXT_BYTES];
    gb_redfish_answer_t answer = {.status = 500, .body = body};

    snprintf(body, sizeof body,
             "{\"error\": {\"message\": \"a\\u001b[1m\\u00e9%0*d\"}}", 300, 0);
    answer.bytes = strlen(body);
    gb_redfish_message(&answer, text);
    ck_assert_uint_eq(strlen(text), GB_REDFISH_TEXT_BYTES - 1);
    ck_assert_int_eq(strncmp(text, "a?[1m??000", 10), 0);
    answer.body = NULL;
    gb_redfish_message(&answer, text);
    ck_assert_str_eq(text, "");
}
END_TEST

Suite *gb_redfish_suite(void);

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static void add_operations(TCase *all)
{
    tcase_add_test(all, reset_types_by_the_hundred_thousand_do_not_hold_the_keeper);
    tcase_add_loop_test(all, status_is_read, 0, COUNT(states));
    tcase_add_loop_test(all, status_that_is_unclear_is_lost, 0, COUNT(unclear));
    tcase_add_test(all, service_with_one_system_is_followed);
    tcase_add_test(all, service_with_more_systems_names_them);
    tcase_add_test(all, circle_of_links_comes_to_an_end);
    tcase_add_test(all, system_that_moved_is_looked_for_again);
    tcase_add_loop_test(all, reset_type_is_chosen, 0, COUNT(choices));
    tcase_add_test(all, order_that_is_fulfilled_is_not_given);
    tcase_add_test(all, allowed_types_come_from_action_info);
    tcase_add_test(all, system_without_the_action_is_refused);
    tcase_add_test(all, etag_is_sent_and_fetched_again_once);
    tcase_add_test(all, refused_order_is_explained_by_the_state);
    tcase_add_test(all, task_is_asked_until_it_ends);
    tcase_add_test(all, task_that_fails_is_lost);
    tcase_add_test(all, task_without_an_address_is_accepted);
    tcase_add_test(all, polls_are_bounded);
}

Suite *gb_redfish_suite(void)
{
    Suite *suite = suite_create("gb_redfish");
    TCase *all = tcase_create("all");

    add_operations(all);
    tcase_add_test(all, watts_are_read_by_the_newest_resource);
    tcase_add_loop_test(all, no_reading_is_lost, 0, COUNT(no_watts));
    tcase_add_test(all, machine_that_measures_nothing_is_refused);
    tcase_add_loop_test(all, error_means, 0, COUNT(errors));
    tcase_add_test(all, redirect_within_the_service_is_followed);
    tcase_add_loop_test(all, reference_stays_within_the_service, 0, COUNT(references));
    tcase_add_test(all, reference_that_is_too_long_is_refused);
    tcase_add_test(all, sessions_are_found);
    tcase_add_test(all, login_is_json_whatever_the_password);
    tcase_add_test(all, message_is_printable_and_cut);
    suite_add_tcase(suite, all);
    return suite;
}
