/* SPDX-License-Identifier: Apache-2.0
 *
 * ipmi.c - switches servers by their management controllers, through FreeIPMI's tools.
 *
 * ipmipower and ipmi-dcmi serve many controllers in one process.  What is started
 * between two flushes is grouped by operation, login and cipher suite; a controller
 * that hangs does not delay the others, whose lines are read as they come.
 *
 * Facts that shape this file (FreeIPMI 1.6):
 *  - ipmipower prints the host without its port, so a group has each host once;
 *  - one name that does not resolve fails the whole call, and one that resolves slowly
 *    delays it, so only numeric addresses share a process;
 *  - a controller without the cipher suite says "BMC error", or even "password
 *    invalid"; so the suite that works is learned by a status query, which harms
 *    nothing, before the first order, and remembered;
 *  - the exit status says little: words count, and the silence of those without a word.
 *
 * User and password go to the tool in a configuration file in memory, as descriptor 3:
 * never in its arguments or environment, never on a disk.
 */
#include "driver.h"
#include "spawn.h"

#include "core/gb_bmc.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The tool gives a controller up after so much silence. */
#define IPMI_SESSION_MS    "2000"
#define IPMI_RETRANSMIT_MS "300"
/* Three calls, with their graces, are within MGB_DRIVER_MOST_US: two suites to learn
 * the right one, then the order. */
#define IPMI_CALL_US    (4 * GB_US_PER_S)
#define IPMI_HOSTS_MOST 128
/* After a refused login questions wait: controllers lock accounts. */
#define IPMI_REFUSED_US (300 * GB_US_PER_S)

#define NOT_SHOWN "(its message is not shown)"

#define SUITE_NEW 17 /* HMAC-SHA256 */
#define SUITE_OLD 3  /* HMAC-SHA1 */

/* What is known of a controller while this keeper lives; a new keeper learns it again.
 */
typedef struct bmc_t {
    char key[GB_ADDRESS_BYTES]; /* "HOST:PORT", as in hints */
    gb_address_t address;
    bool is_numeric;
    int suite;       /* that works; 0: not known */
    int suite_first; /* to try first when not known */
    int64_t quiet_until_us;
    char refused[GB_REASON_BYTES];
} bmc_t;

typedef enum phase_e {
    PHASE_STATUS,
    PHASE_ON,
    PHASE_OFF,
    PHASE_CUT,
    PHASE_WATTS
} phase_e;

typedef struct task_t {
    apr_pool_t *pool; /* its own */
    struct task_t *next;
    mgb_job_t job;
    bmc_t *bmc;
    const char *user, *password; /* in the secrets */
    phase_e phase;
    int suite;       /* of this call */
    bool tried_both; /* suites */
    bool answered;   /* in this call */
    int64_t ends_at_us;
} task_t;

typedef struct ipmi_t {
    mgb_keeper_t *keeper;
    apr_hash_t *bmcs;
    task_t *waiting;
    uint64_t timer; /* sends what waits; 0: not set */
} ipmi_t;

/* One process of a tool. */
typedef struct call_t {
    apr_pool_t *pool; /* its own */
    ipmi_t *ipmi;
    phase_e phase;
    const char *password; /* of all of them */
    task_t *tasks[IPMI_HOSTS_MOST];
    uint32_t count;
    char last[GB_REASON_BYTES]; /* a line that was no answer */
} call_t;

static void flush_all(ipmi_t *ipmi);

static ipmi_t *ipmi_of(mgb_keeper_t *keeper)
{
    static const char key[] = "mgb_ipmi";
    void *found = NULL;
    ipmi_t *ipmi;

    apr_pool_userdata_get(&found, key, keeper->pool);
    if (found) {
        return found;
    }
    ipmi = apr_pcalloc(keeper->pool, sizeof(*ipmi));
    ipmi->keeper = keeper;
    ipmi->bmcs = apr_hash_make(keeper->pool);
    apr_pool_userdata_setn(ipmi, key, NULL, keeper->pool);
    return ipmi;
}

/* Is it an address, which no resolver is asked for?  gb_parse has refused names that
 * end in a number. */
static bool is_numeric(const gb_address_t *address)
{
    size_t length = strlen(address->host);

    return address->is_v6 ||
           (address->host[length - 1] >= '0' && address->host[length - 1] <= '9' &&
            strspn(address->host, "0123456789.") == length);
}

/* NULL: the configuration's address cannot be read, which check_config excludes. */
static bmc_t *bmc_of(ipmi_t *ipmi, const char *key)
{
    bmc_t *bmc = apr_hash_get(ipmi->bmcs, key, APR_HASH_KEY_STRING);
    gb_address_t address;

    if (bmc || !gb_parse_address(key, GB_PORT_IPMI, &address)) {
        return bmc;
    }
    bmc = apr_pcalloc(ipmi->keeper->pool, sizeof(*bmc));
    bmc->address = address;
    gb_parse_write_address(&address, bmc->key);
    bmc->is_numeric = is_numeric(&address);
    bmc->suite_first = SUITE_NEW;
    apr_hash_set(ipmi->bmcs, apr_pstrdup(ipmi->keeper->pool, key), APR_HASH_KEY_STRING,
                 bmc);
    return bmc;
}

/* ------------------------------------------------------------------ results */

static void task_finish(task_t *task, gb_ladder_result_e result, bool powered,
                        double watts, const char *text)
{
    mgb_done_fn *fn = task->job.done;
    void *baton = task->job.baton;
    mgb_done_t done = {.result = result, .powered = powered, .watts = watts};

    snprintf(done.detail, sizeof done.detail, "%.80s: %.75s", task->bmc->key, text);
    apr_pool_destroy(task->pool);
    fn(baton, &done);
}

static void on_flush(void *baton, int64_t now_us)
{
    ipmi_t *ipmi = baton;

    ipmi->timer = 0;
    flush_all(ipmi);
}

/* Lets the task wait for the next flush, which comes in the next turn of the loop. */
static apr_status_t task_wait(ipmi_t *ipmi, task_t *task)
{
    if (!ipmi->timer) {
        ipmi->timer = mgb_loop_timer(ipmi->keeper->loop, mgb_now_us(), on_flush, ipmi);
    }
    if (!ipmi->timer) {
        return APR_ENOMEM;
    }
    task->answered = false;
    task->next = ipmi->waiting;
    ipmi->waiting = task;
    return APR_SUCCESS;
}

/* Another call for the same job, if its time allows one. */
static void task_again(ipmi_t *ipmi, task_t *task, const char *text)
{
    if (mgb_now_us() + MGB_SPAWN_MOST_US(IPMI_CALL_US) > task->ends_at_us ||
        task_wait(ipmi, task) != APR_SUCCESS) {
        task_finish(task, GB_LADDER_LOST, false, 0, text);
    }
}

static int other_suite(int suite)
{
    return suite == SUITE_NEW ? SUITE_OLD : SUITE_NEW;
}

/* Remembers what a failure tells of the controller. */
static void note_failure(const task_t *task, const gb_bmc_line_t *said)
{
    bmc_t *bmc = task->bmc;

    if (said->word == GB_BMC_SILENT) {
        /* Some are silent to a suite they do not know, be it only since an update. */
        bmc->suite_first = bmc->suite ? bmc->suite : other_suite(task->suite);
        bmc->suite = 0;
    }
    if (said->word == GB_BMC_NO_SUITE) {
        bmc->suite = 0;
    }
    if (said->word == GB_BMC_BAD_USER || said->word == GB_BMC_BAD_PASSWORD) {
        bmc->quiet_until_us = mgb_now_us() + IPMI_REFUSED_US;
        snprintf(bmc->refused, sizeof bmc->refused, "%s", said->text);
    }
}

static phase_e order_phase(const mgb_job_t *job)
{
    return job->op == MGB_OP_ON ? PHASE_ON : job->hard ? PHASE_CUT : PHASE_OFF;
}

/* The status is known, and with it the suite.  An order follows if it is needed. */
static void status_known(ipmi_t *ipmi, task_t *task, bool powered)
{
    bmc_t *bmc = task->bmc;

    bmc->suite = task->suite;
    bmc->quiet_until_us = 0;
    if (task->job.op == MGB_OP_STATUS) {
        task_finish(task, GB_LADDER_OK, powered, 0, powered ? "on" : "off");
    }
    else if (task->job.op == MGB_OP_WATTS) {
        task->phase = PHASE_WATTS;
        task_again(ipmi, task, "no time left");
    }
    else if (powered == (task->job.op == MGB_OP_ON)) {
        task_finish(task, GB_LADDER_OK, powered, 0,
                    powered ? "was on already" : "was off already");
    }
    else {
        task->phase = order_phase(&task->job);
        task_again(ipmi, task, "no time left");
    }
}

static void status_failed(ipmi_t *ipmi, task_t *task, const gb_bmc_line_t *said)
{
    bmc_t *bmc = task->bmc;

    if (said->word == GB_BMC_NO_SUITE) {
        bmc->suite = 0; /* it knew it once: new firmware */
    }
    if (!bmc->suite && gb_bmc_blames_suite(said->word) && !task->tried_both) {
        task->tried_both = true;
        task->suite = other_suite(task->suite);
        task_again(ipmi, task, said->text);
        return;
    }
    note_failure(task, said);
    task_finish(task, gb_bmc_status_result(said->word), false, 0, said->text);
}

/* A controller's words: the end of the job, or the next call for it. */
static void task_answer(ipmi_t *ipmi, task_t *task, const gb_bmc_line_t *said)
{
    if (task->phase == PHASE_STATUS) {
        if (said->word == GB_BMC_IS_ON || said->word == GB_BMC_IS_OFF) {
            status_known(ipmi, task, said->word == GB_BMC_IS_ON);
        }
        else {
            status_failed(ipmi, task, said);
        }
        return;
    }
    note_failure(task, said);
    if (task->phase == PHASE_WATTS) {
        char watts[32];

        snprintf(watts, sizeof watts, "%.1f W", said->watts);
        task_finish(task, gb_bmc_watts_result(said->word), false, said->watts,
                    said->word == GB_BMC_WATTS ? watts : said->text);
        return;
    }
    task_finish(task, gb_bmc_order_result(said->word), false, 0,
                said->word == GB_BMC_ACCEPTED ? "accepted" : said->text);
}

/* ------------------------------------------------------------------ a call */

static task_t *task_of_host(const call_t *call, const char *host)
{
    for (uint32_t i = 0; i < call->count; i++) {
        task_t *task = call->tasks[i];

        if (task &&
            strcmp(host, call->phase == PHASE_WATTS ? task->bmc->key
                                                    : task->bmc->address.host) == 0) {
            return task;
        }
    }
    return NULL;
}

/* A tool that quotes the password in an error must not bring it into a log.  Asked of
 * the whole line: what is cut could end within it. */
static bool quotes_password(const call_t *call, const char *line, size_t length)
{
    return memmem(line, length, call->password, strlen(call->password)) != NULL;
}

static void remember_line(call_t *call, const char *line, size_t length)
{
    if (quotes_password(call, line, length)) {
        snprintf(call->last, sizeof call->last, NOT_SHOWN);
        return;
    }
    gb_bmc_printable(call->last, sizeof call->last, line, length);
}

static void on_line(void *baton, const char *line, size_t length)
{
    call_t *call = baton;
    gb_bmc_line_t said;
    task_t *task;

    if (!gb_bmc_read_line(line, length, &said)) {
        remember_line(call, line, length);
        return;
    }
    task = task_of_host(call, said.host);
    if (!task || (said.word == GB_BMC_OTHER && call->phase == PHASE_WATTS &&
                  strchr(said.text, ':'))) {
        return; /* answered already, or another of the power figures */
    }
    for (uint32_t i = 0; i < call->count; i++) {
        if (call->tasks[i] == task) {
            call->tasks[i] = NULL;
        }
    }
    if (said.word == GB_BMC_OTHER && quotes_password(call, line, length)) {
        snprintf(said.text, sizeof said.text, NOT_SHOWN);
    }
    task_answer(call->ipmi, task, &said);
}

/* The tool has ended; those it said nothing about are lost. */
static void on_done(void *baton, mgb_spawn_end_e end, int code)
{
    call_t *call = baton;
    char what[80], text[GB_REASON_BYTES];
    gb_ladder_result_e result = GB_LADDER_LOST;

    mgb_spawn_tell(what, sizeof what, end, code);
    if (end == MGB_SPAWN_NOT_RUN && code == ENOENT) {
        result = GB_LADDER_REFUSED;
        snprintf(text, sizeof text, "%s is not there: install FreeIPMI's tools",
                 call->phase == PHASE_WATTS ? "ipmi-dcmi" : "ipmipower");
    }
    else {
        snprintf(text, sizeof text, "no answer (%s%s%.40s)", what,
                 call->last[0] ? ": " : "", call->last);
    }
    for (uint32_t i = 0; i < call->count; i++) {
        if (call->tasks[i]) {
            task_finish(call->tasks[i], result, false, 0, text);
        }
    }
    apr_pool_destroy(call->pool);
}

/* Writes NAME "VALUE" as FreeIPMI's configuration reads it. */
static size_t write_option(char *to, const char *name, const char *value)
{
    size_t length = 0;

    for (; *name; name++) {
        to[length++] = *name;
    }
    to[length++] = ' ';
    to[length++] = '"';
    for (; *value; value++) {
        if (strchr("\\\"#", *value)) {
            to[length++] = '\\';
        }
        to[length++] = *value;
    }
    to[length++] = '"';
    to[length++] = '\n';
    return length;
}

/* A file in memory with the login; -1: errno.  It is gone with its last descriptor, so
 * nothing is left behind even by kill -9. */
static int login_file(const char *user, const char *password)
{
    static const char fixed[] = "driver-type LAN_2_0\n"
                                "workaround-flags opensesspriv\n"
                                "session-timeout " IPMI_SESSION_MS "\n"
                                "retransmission-timeout " IPMI_RETRANSMIT_MS "\n";
    char text[512]; /* the secrets' lengths are bounded: 16 and 20, each char escaped */
    size_t length = sizeof fixed - 1;
    int fd = memfd_create("greenbalance-login", MFD_CLOEXEC);
    int error = 0;

    if (fd < 0) {
        return -1;
    }
    memcpy(text, fixed, length);
    length += write_option(text + length, "username", user);
    length += write_option(text + length, "password", password);
    if (fchmod(fd, S_IRUSR | S_IWUSR) || write(fd, text, length) != (ssize_t)length) {
        error = errno ? errno : EIO;
    }
    explicit_bzero(text, sizeof text);
    if (error) {
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static const char *hosts_of(const call_t *call)
{
    apr_array_header_t *hosts =
        apr_array_make(call->pool, (int)call->count, sizeof(const char *));

    for (uint32_t i = 0; i < call->count; i++) {
        APR_ARRAY_PUSH(hosts, const char *) = call->tasks[i]->bmc->key;
    }
    return apr_array_pstrcat(call->pool, hosts, ',');
}

static apr_status_t call_start(call_t *call, const char *user, int suite)
{
    static const char *const flags[] = {[PHASE_STATUS] = "--stat",
                                        [PHASE_ON] = "--on",
                                        [PHASE_OFF] = "--soft",
                                        [PHASE_CUT] = "--off",
                                        [PHASE_WATTS] =
                                            "--get-system-power-statistics"};
    const char *suite_flag = apr_psprintf(call->pool, "--cipher-suite-id=%d", suite);
    const char *hosts = apr_pstrcat(call->pool, "--hostname=", hosts_of(call), NULL);
    const char *power[] = {"ipmipower", "--config-file=/proc/self/fd/3",
                           suite_flag,  flags[call->phase],
                           hosts,       NULL};
    const char *watts[] = {"ipmi-dcmi",
                           "--config-file=/proc/self/fd/3",
                           suite_flag,
                           "--privilege-level=ADMIN",
                           "--always-prefix",
                           flags[call->phase],
                           hosts,
                           NULL};
    mgb_command_t command = {.argv = call->phase == PHASE_WATTS ? watts : power,
                             .timeout_us = IPMI_CALL_US,
                             .line = on_line,
                             .done = on_done,
                             .baton = call};

    for (uint32_t i = 0; i < call->count; i++) {
        mgb_op_e op = call->tasks[i]->job.op;

        command.urgent = command.urgent || op == MGB_OP_ON || op == MGB_OP_OFF;
    }
    command.input_fd = login_file(user, call->password);
    if (command.input_fd < 0) {
        return errno;
    }
    return mgb_spawn(call->ipmi->keeper, &command);
}

/* ------------------------------------------------------------------ grouping */

static bool fits(const call_t *call, const task_t *first, const task_t *task)
{
    if (task->phase != first->phase || task->suite != first->suite ||
        strcmp(task->user, first->user) || strcmp(task->password, first->password) ||
        !first->bmc->is_numeric || !task->bmc->is_numeric ||
        call->count == IPMI_HOSTS_MOST) {
        return false;
    }
    for (uint32_t i = 0; i < call->count; i++) {
        if (strcmp(call->tasks[i]->bmc->address.host, task->bmc->address.host) == 0) {
            return false; /* its lines could not be told from the other's */
        }
    }
    return true;
}

/* Takes the first task that waits, and all that fit into its call. */
static void send_group(ipmi_t *ipmi)
{
    task_t *first = ipmi->waiting;
    task_t **at = &ipmi->waiting;
    apr_pool_t *pool;
    apr_status_t rv;
    call_t *call;

    if (apr_pool_create(&pool, ipmi->keeper->pool) != APR_SUCCESS) {
        ipmi->waiting = first->next;
        task_finish(first, GB_LADDER_LOST, false, 0, "no memory");
        return;
    }
    call = apr_pcalloc(pool, sizeof(*call));
    call->pool = pool;
    call->ipmi = ipmi;
    call->phase = first->phase;
    call->password = first->password;
    while (*at) {
        task_t *task = *at;

        if (task == first || fits(call, first, task)) {
            *at = task->next;
            call->tasks[call->count++] = task;
        }
        else {
            at = &task->next;
        }
    }
    rv = call_start(call, first->user, first->suite);
    if (rv != APR_SUCCESS) {
        on_done(call, MGB_SPAWN_NOT_RUN, rv);
    }
}

static void flush_all(ipmi_t *ipmi)
{
    while (ipmi->waiting) {
        send_group(ipmi);
    }
}

static void ipmi_flush(mgb_keeper_t *keeper)
{
    flush_all(ipmi_of(keeper));
}

/* ------------------------------------------------------------------ the driver */

static phase_e first_phase(const bmc_t *bmc, const mgb_job_t *job)
{
    if (!bmc->suite || job->op == MGB_OP_STATUS) {
        return PHASE_STATUS;
    }
    if (job->op == MGB_OP_WATTS) {
        return PHASE_WATTS;
    }
    return order_phase(job);
}

static apr_status_t ipmi_start(const mgb_job_t *job)
{
    ipmi_t *ipmi = ipmi_of(job->keeper);
    bmc_t *bmc = job->hints->ipmi ? bmc_of(ipmi, job->hints->ipmi) : NULL;
    const char *user, *password;
    int64_t now_us = mgb_now_us();
    apr_pool_t *pool;
    task_t *task;
    apr_status_t rv;

    if (!bmc) {
        return mgb_driver_say(job, GB_LADDER_REFUSED, "there is no ipmi=");
    }
    if (!mgb_secrets_ipmi(job->keeper->secrets, bmc->key, &user, &password)) {
        return mgb_driver_say(job, GB_LADDER_REFUSED,
                              "%.90s: GreenSecrets has no ipmi line for it", bmc->key);
    }
    if (now_us < bmc->quiet_until_us &&
        (job->op == MGB_OP_STATUS || job->op == MGB_OP_WATTS)) {
        return mgb_driver_say(
            job, GB_LADDER_REFUSED, "%.90s: %.30s; not asked again for %d s", bmc->key,
            bmc->refused, (int)((bmc->quiet_until_us - now_us) / GB_US_PER_S));
    }
    rv = apr_pool_create(&pool, job->keeper->pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    task = apr_pcalloc(pool, sizeof(*task));
    task->pool = pool;
    task->job = *job;
    task->bmc = bmc;
    task->user = user;
    task->password = password;
    task->phase = first_phase(bmc, job);
    task->suite = bmc->suite ? bmc->suite : bmc->suite_first;
    task->ends_at_us = now_us + MGB_DRIVER_MOST_US;
    rv = task_wait(ipmi, task);
    if (rv != APR_SUCCESS) {
        apr_pool_destroy(pool);
    }
    return rv;
}

const mgb_driver_t mgb_driver_ipmi = {.name = "ipmi",
                                      .can_status = true,
                                      .can_cut = true,
                                      .start = ipmi_start,
                                      .flush = ipmi_flush};
