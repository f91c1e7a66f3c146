/* SPDX-License-Identifier: Apache-2.0
 *
 * health_harness.c - the health checks without httpd: loop.c, timer.c, probe.c,
 * health_check.c and reverse_health.c around a keeper made by hand.
 *
 * Commands come on standard input, one a line; what changes goes to standard output,
 * one JSON object a line, with "t" in milliseconds since `start`.
 *
 *   rig [interval=MS] [fall=N] [bmc=none|off|on|silent|refuse] [state=NAME]
 *   door RIG URL [uds=PATH] [uri= host= interval= timeout= rise= fall= from= to=
 * verify=] start              the checks begin; doors may be added after it state RIG
 * NAME     the machine enters a state bmc RIG MODE       what its BMC says from now on
 *   fdlimit N          descriptors that may be opened
 *   show               all members and machines
 *   cpu                processor time used, probes answered
 *   quit
 *
 * tests/integration/healthkit.py builds and drives it.
 */
#include "../../mod_greenbalance.h"
#include "../../drivers/driver.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define DOORS_MOST  4096
#define RIGS_MOST   1024
#define BMC_SLOW_US (30 * GB_US_PER_MS)

module AP_MODULE_DECLARE_DATA greenbalance_module;

typedef struct bmc_t {
    char mode[16];
    uint32_t asked, in_flight, most_in_flight;
    mgb_done_fn *done;
    void *baton;
} bmc_t;

static mgb_keeper_t keeper;
static mgb_shared_t shared;
static mgb_header_t header;
static bmc_t bmcs[RIGS_MOST];
static mgb_pool_conf_t rig_confs[RIGS_MOST];
static uint32_t told_verdict[DOORS_MOST], told_proof[RIGS_MOST];
static bool told_unpowered[RIGS_MOST];
static int64_t started_at_us, look_us = 5 * GB_US_PER_MS;
static bool quit;

/* ------------------------------------------------------------------ httpd's part */

void ap_log_error_(const char *file, int line, int module_index, int level,
                   apr_status_t status, const server_rec *s, const char *format, ...)
{
    va_list args;

    if ((level & APLOG_LEVELMASK) > APLOG_DEBUG) {
        return;
    }
    fprintf(stderr, "[%d] ", level & APLOG_LEVELMASK);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

/* ------------------------------------------------------------------ a BMC */

static void bmc_answers(void *baton, int64_t now_us)
{
    bmc_t *bmc = baton;
    mgb_done_t done = {.result = GB_LADDER_LOST};

    if (!strcmp(bmc->mode, "on") || !strcmp(bmc->mode, "off")) {
        done.result = GB_LADDER_OK;
        done.powered = !strcmp(bmc->mode, "on");
    }
    else {
        apr_cpystrn(done.detail, "no answer from the BMC", sizeof(done.detail));
    }
    bmc->in_flight--;
    bmc->done(bmc->baton, &done);
}

bool mgb_waker_ask(mgb_keeper_t *k, uint32_t rig, mgb_done_fn *done, void *baton)
{
    bmc_t *bmc = &bmcs[rig];

    if (!strcmp(bmc->mode, "none") || !strcmp(bmc->mode, "refuse")) {
        return false;
    }
    bmc->asked++;
    bmc->in_flight++;
    if (bmc->in_flight > bmc->most_in_flight) {
        bmc->most_in_flight = bmc->in_flight;
    }
    bmc->done = done;
    bmc->baton = baton;
    mgb_loop_timer(k->loop, mgb_now_us() + BMC_SLOW_US, bmc_answers, bmc);
    return true;
}

/* ------------------------------------------------------------------ output */

static const char *verdict_name(uint32_t verdict)
{
    static const char *const names[] = {"none", "good", "bad"};

    return names[verdict];
}

static const char *proof_name(uint32_t proof)
{
    static const char *const names[] = {"none", "off", "answers", "powered"};

    return names[proof];
}

/* Reasons are printable ASCII by contract; a test looks whether they are. */
static void put_text(const char *key, const char *text)
{
    printf(", \"%s\": \"", key);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') {
            putchar('\\');
        }
        putchar(*text);
    }
    putchar('"');
}

static void put_begin(const char *what, uint32_t index, int64_t now_us)
{
    printf("{\"t\": %.1f, \"%s\": %u", (double)(now_us - started_at_us) / 1000.0, what,
           index);
}

static void put_door(uint32_t i, int64_t now_us)
{
    const mgb_member_t *member = &shared.members[i];

    put_begin("door", i, now_us);
    printf(", \"verdict\": \"%s\", \"probes\": %u",
           verdict_name(member->health.verdict), member->health.probes);
    put_text("error", member->probe_error);
    puts("}");
}

static void put_rig(uint32_t i, int64_t now_us)
{
    put_begin("rig", i, now_us);
    printf(", \"proof\": \"%s\", \"unpowered\": %s, \"asked\": %u, \"at_once\": %u}\n",
           proof_name(mgb_proofs_of(&keeper, i)),
           mgb_proofs_unpowered(&keeper, i) ? "true" : "false", bmcs[i].asked,
           bmcs[i].most_in_flight);
}

static void look(void *baton, int64_t now_us)
{
    for (uint32_t i = 0; i < keeper.door_count; i++) {
        if (told_verdict[i] != shared.members[i].health.verdict) {
            told_verdict[i] = shared.members[i].health.verdict;
            put_door(i, now_us);
        }
    }
    for (uint32_t i = 0; i < keeper.rig_count; i++) {
        uint32_t proof = mgb_proofs_of(&keeper, i);
        bool unpowered = mgb_proofs_unpowered(&keeper, i);

        if (told_proof[i] != proof || told_unpowered[i] != unpowered) {
            told_proof[i] = proof;
            told_unpowered[i] = unpowered;
            put_rig(i, now_us);
        }
    }
    if (baton) {
        mgb_loop_timer(keeper.loop, now_us + look_us, look, baton);
    }
}

/* ------------------------------------------------------------------ the tick */

/* As watchdog.c: well when one door is, ill when all are. */
static void verdicts_join(void)
{
    for (uint32_t i = 0; i < keeper.rig_count; i++) {
        uint32_t verdict = GB_VERDICT_BAD, doors = 0;

        for (uint32_t d = 0; d < keeper.door_count; d++) {
            uint32_t found = shared.members[d].health.verdict;

            if (keeper.doors[d].rig != i) {
                continue;
            }
            doors++;
            if (found == GB_VERDICT_GOOD || verdict == GB_VERDICT_GOOD) {
                verdict = GB_VERDICT_GOOD;
            }
            else if (found == GB_VERDICT_NONE) {
                verdict = GB_VERDICT_NONE;
            }
        }
        shared.machines[i].m.verdict = doors ? verdict : GB_VERDICT_NONE;
    }
}

static void tick(void *baton, int64_t now_us)
{
    verdicts_join();
    mgb_checks_tick(&keeper, now_us);
    mgb_proofs_tick(&keeper, now_us);
    mgb_loop_timer(keeper.loop, now_us + MGB_TICK_US, tick, baton);
}

/* ------------------------------------------------------------------ commands */

static const char *option(char *const *words, int count, const char *key,
                          const char *otherwise)
{
    size_t length = strlen(key);

    for (int i = 0; i < count; i++) {
        if (!strncmp(words[i], key, length) && words[i][length] == '=') {
            return apr_pstrdup(keeper.pool, words[i] + length + 1);
        }
    }
    return otherwise;
}

static int64_t number(char *const *words, int count, const char *key, int64_t otherwise)
{
    const char *text = option(words, count, key, NULL);

    return text ? apr_strtoi64(text, NULL, 10) : otherwise;
}

static uint32_t state_of(const char *name)
{
    for (uint32_t state = 0; state < GB_ST_COUNT; state++) {
        if (!strcmp(name, gb_state_name((gb_state_e)state))) {
            return state;
        }
    }
    fprintf(stderr, "no such state: %s\n", name);
    exit(2);
}

static void rig_add(char *const *words, int count)
{
    uint32_t i = keeper.rig_count++;
    mgb_pool_conf_t *conf = &rig_confs[i];

    conf->reverse.interval_us = number(words, count, "interval", 30000) * GB_US_PER_MS;
    conf->reverse.fall = (uint32_t)number(words, count, "fall", 2);
    keeper.rigs[i].slot = i;
    keeper.rigs[i].pool = conf;
    apr_cpystrn(bmcs[i].mode, option(words, count, "bmc", "none"),
                sizeof(bmcs[i].mode));
    apr_snprintf(shared.machines[i].name, sizeof(shared.machines[i].name), "machine%u",
                 i);
    shared.machines[i].m.state = state_of(option(words, count, "state", "on"));
    shared.machines[i].m.entered_at_us = mgb_now_us();
}

static proxy_worker *worker_make(const char *url, const char *uds)
{
    proxy_worker *worker = apr_pcalloc(keeper.pool, sizeof(*worker));
    proxy_worker_shared *s = calloc(1, sizeof(*s));
    apr_uri_t uri;

    if (!s || apr_uri_parse(keeper.pool, url, &uri) != APR_SUCCESS) {
        fprintf(stderr, "not a URL: %s\n", url);
        exit(2);
    }
    worker->s = s;
    apr_cpystrn(s->name_ex, url, sizeof(s->name_ex));
    apr_cpystrn(s->scheme, uri.scheme, sizeof(s->scheme));
    apr_cpystrn(s->hostname_ex, uri.hostname ? uri.hostname : "",
                sizeof(s->hostname_ex));
    apr_cpystrn(s->uds_path, uds, sizeof(s->uds_path));
    s->port = uri.port ? uri.port : apr_uri_port_of_scheme(uri.scheme);
    return worker;
}

static void door_add(char *const *words, int count)
{
    uint32_t i = keeper.door_count;
    mgb_pool_conf_t *conf = apr_pcalloc(keeper.pool, sizeof(*conf));
    mgb_balancer_t *balancer = apr_pcalloc(keeper.pool, sizeof(*balancer));

    if (i >= DOORS_MOST) {
        exit(2);
    }
    conf->probe.uri = option(words, count, "uri", "/");
    conf->probe.host = option(words, count, "host", NULL);
    conf->probe.interval_us = number(words, count, "interval", 200) * GB_US_PER_MS;
    conf->probe.timeout_us = number(words, count, "timeout", 200) * GB_US_PER_MS;
    conf->probe.rise = (uint32_t)number(words, count, "rise", 2);
    conf->probe.fall = (uint32_t)number(words, count, "fall", 3);
    conf->probe.expect_from = (uint32_t)number(words, count, "from", 200);
    conf->probe.expect_to = (uint32_t)number(words, count, "to", 399);
    conf->probe.verify = number(words, count, "verify", 0) != 0;
    balancer->conf = conf;
    keeper.doors[i].slot = i;
    keeper.doors[i].rig = (uint32_t)apr_strtoi64(words[1], NULL, 10);
    keeper.doors[i].balancer = balancer;
    keeper.doors[i].worker = worker_make(words[2], option(words, count, "uds", ""));
    apr_cpystrn(shared.members[i].name, words[2], sizeof(shared.members[i].name));
    keeper.door_count++;
}

static void cpu_put(void)
{
    struct rusage used;
    uint64_t probes = 0, good = 0;

    for (uint32_t i = 0; i < keeper.door_count; i++) {
        probes += shared.members[i].health.probes;
        good += shared.members[i].health.verdict == GB_VERDICT_GOOD;
    }
    getrusage(RUSAGE_SELF, &used);
    put_begin("cpu", 0, mgb_now_us());
    printf(
        ", \"user_us\": %lld, \"system_us\": %lld, \"probes\": %llu, \"good\": %llu, "
        "\"rss_kb\": %ld}\n",
        (long long)used.ru_utime.tv_sec * 1000000 + used.ru_utime.tv_usec,
        (long long)used.ru_stime.tv_sec * 1000000 + used.ru_stime.tv_usec,
        (unsigned long long)probes, (unsigned long long)good, used.ru_maxrss);
}

static void fd_limit(const char *count)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = (rlim_t)apr_strtoi64(count, NULL, 10);
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void start(void)
{
    started_at_us = mgb_now_us();
    if (mgb_checks_create(&keeper) != APR_SUCCESS ||
        mgb_proofs_create(&keeper) != APR_SUCCESS) {
        exit(2);
    }
    tick(NULL, started_at_us);
    look(&keeper, started_at_us);
}

static void command(char *line)
{
    char *words[16];
    int count = 0;
    int64_t now_us = mgb_now_us();

    for (char *rest = NULL, *word = apr_strtok(line, " \n", &rest); word && count < 16;
         word = apr_strtok(NULL, " \n", &rest)) {
        words[count++] = word;
    }
    if (!count) {
        return;
    }
    if (!strcmp(words[0], "rig")) {
        rig_add(words, count);
    }
    else if (!strcmp(words[0], "door") && count >= 3) {
        door_add(words, count);
    }
    else if (!strcmp(words[0], "start")) {
        start();
    }
    else if (!strcmp(words[0], "state") && count == 3) {
        gb_machine_t *machine = &shared.machines[apr_strtoi64(words[1], NULL, 10)].m;

        machine->state = state_of(words[2]);
        machine->entered_at_us = now_us;
    }
    else if (!strcmp(words[0], "bmc") && count == 3) {
        bmc_t *bmc = &bmcs[apr_strtoi64(words[1], NULL, 10)];

        apr_cpystrn(bmc->mode, words[2], sizeof(bmc->mode));
    }
    else if (!strcmp(words[0], "fdlimit") && count == 2) {
        fd_limit(words[1]);
    }
    else if (!strcmp(words[0], "look") && count == 2) {
        look_us = apr_strtoi64(words[1], NULL, 10) * GB_US_PER_MS;
    }
    else if (!strcmp(words[0], "show")) {
        for (uint32_t i = 0; i < keeper.door_count; i++) {
            put_door(i, now_us);
        }
        for (uint32_t i = 0; i < keeper.rig_count; i++) {
            put_rig(i, now_us);
        }
        puts("{\"shown\": true}");
    }
    else if (!strcmp(words[0], "cpu")) {
        cpu_put();
    }
    else if (!strcmp(words[0], "quit")) {
        quit = true;
    }
    else {
        fprintf(stderr, "no such command: %s\n", words[0]);
        exit(2);
    }
}

static void commands_read(void *baton, int fd, uint32_t epoll_events)
{
    static char held[65536];
    static size_t length;
    ssize_t n = read(fd, held + length, sizeof(held) - 1 - length);
    char *end;

    if (n <= 0) {
        quit = true;
        return;
    }
    length += (size_t)n;
    held[length] = '\0';
    while ((end = strchr(held, '\n')) != NULL) {
        *end = '\0';
        command(held);
        length -= (size_t)(end + 1 - held);
        memmove(held, end + 1, length + 1);
    }
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    apr_initialize();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    apr_pool_create(&keeper.pool, NULL);
    keeper.server = apr_pcalloc(keeper.pool, sizeof(server_rec));
    keeper.server->log.level = APLOG_DEBUG;
    keeper.shared = &shared;
    shared.header = &header;
    header.members_room = DOORS_MOST;
    header.machines_room = RIGS_MOST;
    shared.members = apr_pcalloc(keeper.pool, DOORS_MOST * sizeof(mgb_member_t));
    shared.machines = apr_pcalloc(keeper.pool, RIGS_MOST * sizeof(mgb_machine_t));
    keeper.rigs = apr_pcalloc(keeper.pool, RIGS_MOST * sizeof(mgb_rig_t));
    keeper.doors = apr_pcalloc(keeper.pool, DOORS_MOST * sizeof(mgb_door_t));
    if (mgb_loop_create(&keeper.loop, keeper.pool) != APR_SUCCESS ||
        mgb_loop_watch(keeper.loop, STDIN_FILENO, EPOLLIN, commands_read, NULL) !=
            APR_SUCCESS) {
        return 2;
    }
    while (!quit) {
        mgb_loop_run(keeper.loop, mgb_now_us() + MGB_TICK_US);
    }
    mgb_checks_destroy(&keeper);
    for (uint32_t i = 0; i < keeper.door_count; i++) {
        free(keeper.doors[i].worker->s);
    }
    apr_pool_destroy(keeper.pool);
    curl_global_cleanup();
    apr_terminate();
    return 0;
}
