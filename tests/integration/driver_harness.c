/* SPDX-License-Identifier: Apache-2.0
 *
 * driver_harness.c - the waker and its drivers without httpd around them, for
 * test_drivers.py: the real loop.c, wake.c, secrets.c and drivers, over stand-ins for
 * httpd's log.
 *
 *   driver_harness SECRETS|- SEGMENT [CA]
 *
 * SEGMENT is a file that stands for the shared segment: a second harness goes on with
 * what a killed one left there.  CA is GreenBmcCA.
 *
 * Commands come as lines on the input:
 *   driver NAME COMMAND [ARG...]
 *   machine NAME [wake=WAY,..] [sleep=WAY,..] [mac=] [wolto=HOST:PORT] [wolif=] [ipmi=]
 *           [redfish=]
 *   rules timeout=MS retry=MS packets=N
 *   go                       the machines are known: create the waker and tick
 *   order NAME on|off|cut    one order by the first way of its ladder, nothing after it
 *   end                      as at the keeper's end; answers "ended"
 *   ask|watts NAME           a question, by the first way of its sleep or wake ladder
 *   start NAME on|off        the ladder
 *   stop NAME
 * Answers go to the output, one a line: "done NAME OP RESULT powered|- WATTS DETAIL",
 * "exhausted NAME WHY", "log LEVEL TEXT", "orders NAME N".
 */
#include "keeper.h"

#include "agents.h"
#include "core/gb_parse.h"
#include "drivers/driver.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#define MACHINES_MOST 256
#define WORDS_MOST    32

module AP_MODULE_DECLARE_DATA greenbalance_module;

typedef struct question_t {
    const char *name, *op;
} question_t;

typedef struct harness_t {
    mgb_keeper_t keeper;
    mgb_shared_t shared;
    server_rec server;
    gb_rules_t rules;
    apr_hash_t *drivers;
    bool going;
    size_t length;
    char input[65536];
    bool may_cut; /* what the watchdog would say */
} harness_t;

static harness_t harness;

bool mgb_watchdog_may_cut(const mgb_keeper_t *keeper, uint32_t rig)
{
    return harness.may_cut;
}

void ap_log_error_(const char *file, int line, int index, int level,
                   apr_status_t status, const server_rec *s, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    apr_vsnprintf(text, sizeof text, format, args);
    va_end(args);
    printf("log %d %s\n", level & APLOG_LEVELMASK, text);
    fflush(stdout);
}

/* Agents need heartbeats, and httpd's children for them: they are not tried here. */
apr_status_t mgb_agents_order(const mgb_job_t *job)
{
    return mgb_driver_say(job, GB_LADDER_REFUSED, "no agents in the harness");
}

static const char *const result_names[] = {"ok", "not-yet", "lost", "refused"};

static void on_answer(void *baton, const mgb_done_t *done)
{
    question_t *question = baton;

    printf("done %s %s %s %s %.1f %s\n", question->name, question->op,
           result_names[done->result], done->powered ? "powered" : "-", done->watts,
           done->detail);
    fflush(stdout);
}

static uint32_t find(const char *name)
{
    for (uint32_t i = 0; i < harness.keeper.rig_count; i++) {
        if (strcmp(harness.shared.machines[i].name, name) == 0) {
            return i;
        }
    }
    fprintf(stderr, "no machine %s\n", name);
    exit(2);
}

static const char *value_of(const char *word, const char *key)
{
    size_t length = strlen(key);

    return strncmp(word, key, length) == 0 && word[length] == '=' ? word + length + 1
                                                                  : NULL;
}

static uint32_t read_ladder(const char *text, mgb_rung_t *rungs)
{
    char *rest = apr_pstrdup(harness.keeper.pool, text), *word;
    uint32_t count = 0;

    while ((word = apr_strtok(rest, ",", &rest)) && count < GB_RUNGS_MAX) {
        mgb_rung_t *rung = &rungs[count++];

        rung->name = word;
        rung->way = strcmp(word, "wol") == 0       ? MGB_WAY_WOL
                    : strcmp(word, "ipmi") == 0    ? MGB_WAY_IPMI
                    : strcmp(word, "redfish") == 0 ? MGB_WAY_REDFISH
                                                   : MGB_WAY_EXEC;
        rung->exec = apr_hash_get(harness.drivers, word, APR_HASH_KEY_STRING);
    }
    return count;
}

static void add_hint(mgb_hints_t *hints, const char *word)
{
    apr_pool_t *p = harness.keeper.pool;
    const char *value;
    gb_address_t address;
    char text[GB_ADDRESS_BYTES], url[GB_URL_BYTES];

    if ((value = value_of(word, "wake"))) {
        hints->wake_count = read_ladder(value, hints->wake);
    }
    else if ((value = value_of(word, "sleep"))) {
        hints->sleep_count = read_ladder(value, hints->sleep);
    }
    else if ((value = value_of(word, "mac"))) {
        hints->has_mac = gb_parse_mac(value, hints->mac);
    }
    else if ((value = value_of(word, "wolif"))) {
        hints->wol_iface = apr_pstrdup(p, value);
    }
    else if ((value = value_of(word, "redfish")) && gb_parse_url(value, url)) {
        hints->redfish = apr_pstrdup(p, url);
    }
    else if ((value = value_of(word, "url"))) {
        hints->member_url = apr_pstrdup(p, value);
    }
    else if ((value = value_of(word, "wolto")) &&
             gb_parse_address(value, 9, &address)) {
        hints->wol_host = apr_pstrdup(p, address.host);
        hints->wol_port = address.port;
    }
    else if ((value = value_of(word, "ipmi")) &&
             gb_parse_address(value, 623, &address)) {
        gb_parse_write_address(&address, text);
        hints->ipmi = apr_pstrdup(p, text);
    }
    else {
        fprintf(stderr, "bad hint %s\n", word);
        exit(2);
    }
}

static void add_machine(char **words)
{
    uint32_t i = harness.keeper.rig_count++;
    mgb_hints_t *hints = apr_pcalloc(harness.keeper.pool, sizeof(*hints));

    if (i >= MACHINES_MOST) {
        exit(2);
    }
    hints->wol_host = "255.255.255.255";
    hints->wol_port = 9;
    hints->member_url = apr_psprintf(harness.keeper.pool, "http://%s:80", words[1]);
    apr_cpystrn(harness.shared.machines[i].name, words[1], GB_NAME_BYTES);
    for (int k = 2; words[k]; k++) {
        add_hint(hints, words[k]);
    }
    harness.keeper.rigs[i].slot = i;
    harness.keeper.rigs[i].hints = hints;
}

static void add_driver(char **words)
{
    mgb_exec_t *exec = apr_pcalloc(harness.keeper.pool, sizeof(*exec));
    const char **argv =
        apr_pcalloc(harness.keeper.pool, WORDS_MOST * sizeof(const char *));

    for (exec->argc = 0; words[exec->argc + 2]; exec->argc++) {
        argv[exec->argc] = apr_pstrdup(harness.keeper.pool, words[exec->argc + 2]);
    }
    exec->name = apr_pstrdup(harness.keeper.pool, words[1]);
    exec->argv = argv;
    apr_hash_set(harness.drivers, exec->name, APR_HASH_KEY_STRING, exec);
}

static void set_rules(char **words)
{
    for (int i = 1; words[i]; i++) {
        const char *text = strchr(words[i], '=');
        int64_t value = text ? apr_atoi64(text + 1) : 0;

        if (value_of(words[i], "timeout")) {
            harness.rules.wake_timeout_us = value * GB_US_PER_MS;
        }
        else if (value_of(words[i], "retry")) {
            harness.rules.wake_retry_us = value * GB_US_PER_MS;
        }
        else if (value_of(words[i], "cut")) {
            harness.may_cut = value != 0;
        }
        else if (value_of(words[i], "packets")) {
            harness.rules.packets = (uint32_t)value;
        }
    }
}

static void go(void)
{
    for (uint32_t i = 0; i < harness.keeper.rig_count; i++) {
        harness.keeper.rigs[i].rules = harness.rules;
    }
    if (mgb_waker_create(&harness.keeper) != APR_SUCCESS) {
        exit(3);
    }
    harness.going = true;
    puts("ready");
}

static question_t *question_of(uint32_t rig, const char *op)
{
    question_t *question = apr_palloc(harness.keeper.pool, sizeof(*question));

    question->name = harness.shared.machines[rig].name;
    question->op = op;
    return question;
}

static void job_start(uint32_t rig, const char *word, mgb_op_e op, bool hard)
{
    const mgb_hints_t *hints = harness.keeper.rigs[rig].hints;
    mgb_job_t job = {.keeper = &harness.keeper,
                     .rung = hints->sleep_count ? &hints->sleep[0] : &hints->wake[0],
                     .hints = hints,
                     .member_url = hints->member_url,
                     .rules = &harness.rules,
                     .op = op,
                     .hard = hard,
                     .done = on_answer,
                     .baton = question_of(rig, word)};

    if (mgb_driver_of(job.rung->way)->start(&job) != APR_SUCCESS) {
        puts("not-started");
    }
}

static void order(uint32_t rig, const char *word)
{
    job_start(rig, apr_pstrdup(harness.keeper.pool, word),
              strcmp(word, "on") == 0 ? MGB_OP_ON : MGB_OP_OFF,
              strcmp(word, "cut") == 0);
}

static void command(char **words)
{
    int64_t now_us = mgb_now_us();

    if (strcmp(words[0], "driver") == 0) {
        add_driver(words);
    }
    else if (strcmp(words[0], "machine") == 0) {
        add_machine(words);
    }
    else if (strcmp(words[0], "rules") == 0) {
        set_rules(words);
    }
    else if (strcmp(words[0], "go") == 0) {
        go();
    }
    else if (strcmp(words[0], "ask") == 0) {
        uint32_t rig = find(words[1]);

        if (!mgb_waker_ask(&harness.keeper, rig, on_answer,
                           question_of(rig, "status"))) {
            printf("cannot-ask %s\n", words[1]);
        }
    }
    else if (strcmp(words[0], "watts") == 0) {
        job_start(find(words[1]), "watts", MGB_OP_WATTS, false);
    }
    else if (strcmp(words[0], "order") == 0) {
        order(find(words[1]), words[2]);
    }
    else if (strcmp(words[0], "end") == 0) {
        mgb_redfish_end(&harness.keeper);
        puts("ended");
    }
    else if (strcmp(words[0], "start") == 0) {
        /* As the watchdog does: the state is there before its ladder begins. */
        harness.shared.machines[find(words[1])].m.state =
            strcmp(words[2], "on") == 0 ? GB_ST_WAKING : GB_ST_STOPPING;
        mgb_waker_start(&harness.keeper, find(words[1]),
                        strcmp(words[2], "on") == 0 ? GB_GOAL_ON : GB_GOAL_OFF, now_us);
    }
    else if (strcmp(words[0], "stop") == 0) {
        printf("orders %s %u\n", words[1],
               harness.shared.machines[find(words[1])].ladder.orders);
        mgb_waker_stop(&harness.keeper, find(words[1]));
    }
    else {
        fprintf(stderr, "bad command %s\n", words[0]);
        exit(2);
    }
    fflush(stdout);
}

static void take_line(char *line)
{
    char *words[WORDS_MOST + 1] = {NULL}, *rest = line, *word;
    int count = 0;

    while (count < WORDS_MOST && (word = apr_strtok(rest, " ", &rest))) {
        words[count++] = word;
    }
    if (count) {
        command(words);
    }
}

static void on_input(void *baton, int fd, uint32_t events)
{
    ssize_t n =
        read(fd, harness.input + harness.length, sizeof harness.input - harness.length);
    char *line = harness.input, *end;

    if (n <= 0) {
        exit(0);
    }
    harness.length += (size_t)n;
    while (
        (end = memchr(line, '\n', harness.length - (size_t)(line - harness.input)))) {
        *end = '\0';
        take_line(line);
        line = end + 1;
    }
    harness.length -= (size_t)(line - harness.input);
    memmove(harness.input, line, harness.length);
}

static void tick(void)
{
    mgb_waker_tick(&harness.keeper, mgb_now_us());
    for (uint32_t i = 0; i < harness.keeper.rig_count; i++) {
        if (harness.keeper.rigs[i].exhausted) {
            harness.keeper.rigs[i].exhausted = false;
            printf("exhausted %s %s\n", harness.shared.machines[i].name,
                   harness.keeper.rigs[i].why);
            fflush(stdout);
        }
    }
    apr_pool_clear(harness.keeper.ptick);
}

static mgb_machine_t *map_segment(const char *path)
{
    size_t bytes = MACHINES_MOST * sizeof(mgb_machine_t);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *memory = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, (off_t)bytes) == 0) {
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (memory == MAP_FAILED) {
        perror(path);
        exit(2);
    }
    close(fd);
    return memory;
}

int main(int argc, char **argv)
{
    mgb_keeper_t *keeper = &harness.keeper;
    const char *error = NULL;
    mgb_main_conf_t conf = {.bmc_ca = argc > 3 ? argv[3] : NULL};
    mgb_context_t ctx = {.conf = &conf};

    apr_initialize();
    apr_pool_create(&keeper->pool, NULL);
    apr_pool_create(&keeper->ptick, keeper->pool);
    keeper->server = &harness.server;
    keeper->ctx = &ctx;
    harness.server.log.level = APLOG_TRACE8;
    keeper->shared = &harness.shared;
    keeper->rigs_room = MACHINES_MOST;
    keeper->rigs = apr_pcalloc(keeper->pool, MACHINES_MOST * sizeof(mgb_rig_t));
    harness.shared.machines = map_segment(argc > 2 ? argv[2] : "");
    harness.drivers = apr_hash_make(keeper->pool);
    harness.rules = (gb_rules_t){.wake_timeout_us = 60 * GB_US_PER_S,
                                 .wake_retry_us = GB_US_PER_S,
                                 .packets = 3};
    if (argc < 3 || mgb_loop_create(&keeper->loop, keeper->pool) != APR_SUCCESS) {
        return 2;
    }
    if (strcmp(argv[1], "-") != 0 &&
        mgb_secrets_read(&keeper->secrets, argv[1], keeper->pool, &error) !=
            APR_SUCCESS) {
        printf("secrets %s\n", error);
        return 1;
    }
    fcntl(0, F_SETFL, O_NONBLOCK);
    mgb_loop_watch(keeper->loop, 0, EPOLLIN, on_input, NULL);
    for (;;) {
        if (harness.going) {
            tick();
        }
        mgb_loop_run(keeper->loop, mgb_now_us() + 20 * GB_US_PER_MS);
    }
}
