/* SPDX-License-Identifier: Apache-2.0
 *
 * beat.c - one heartbeat to one proxy, and its answer.
 *
 * Done by a child: libcurl and OpenSSL, with their thirty libraries, come and go with
 * it; a name server that hangs is ended with it; and what a proxy could do to libcurl
 * it does to a process that ends a moment later.
 */
#include "agent.h"

#include "libcrypto.h"
#include "libcurl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONNECT_MS  3000L
#define TRANSFER_MS 6000L
#define CHILD_US    (10 * GB_US_PER_S)

_Static_assert(sizeof(ga_reply_t) <= 4096, "a pipe takes it whole");

typedef struct body_t {
    char text[GB_BEAT_BYTES];
    size_t bytes;
    bool is_too_long;
} body_t;

static size_t take_body(const char *data, size_t size, size_t count, void *baton)
{
    body_t *body = baton;

    if (size * count > sizeof body->text - body->bytes) {
        body->is_too_long = true;
        return 0; /* libcurl gives up */
    }
    memcpy(body->text + body->bytes, data, size * count);
    body->bytes += size * count;
    return size * count;
}

static void set_options(CURL *easy, const ga_config_t *config, const char *proxy,
                        const char *text, size_t bytes, body_t *body)
{
    curl_easy_setopt(easy, CURLOPT_URL, proxy);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "green-agent/" GB_VERSION);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, text);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, TRANSFER_MS);
    if (config->ca_file[0]) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, config->ca_file);
    }
}

static const char *status_words(long status)
{
    switch (status) {
    case 403:
        return "it does not believe the heartbeat: see the proxy's log, and compare "
               "server= and the key with its GreenSecrets";
    case 503:
        return "its keeper is away";
    default:
        return "is greenbalance-beat the handler of this URL there?";
    }
}

/* Sends the sealed text.  False: `why` has been written. */
static bool post(const ga_config_t *config, const char *proxy, const char *text,
                 size_t bytes, body_t *body, char why[GB_REASON_BYTES])
{
    static char type[] = "Content-Type: text/plain";
    struct curl_slist header = {.data = type, .next = NULL};
    char error[CURL_ERROR_SIZE] = "";
    long status = 0;
    CURL *easy = curl_easy_init();
    CURLcode code;

    if (!easy) {
        snprintf(why, GB_REASON_BYTES, "libcurl does not start");
        return false;
    }
    set_options(easy, config, proxy, text, bytes, body);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, &header);
    code = curl_easy_perform(easy);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(easy);
    if (code != CURLE_OK && !body->is_too_long) {
        snprintf(why, GB_REASON_BYTES, "%.150s",
                 error[0] ? error : curl_easy_strerror(code));
        return false;
    }
    if (status != 200) {
        snprintf(why, GB_REASON_BYTES, "HTTP status %ld: %s", status,
                 status_words(status));
        return false;
    }
    return true;
}

/* Is it the keeper's, and to this heartbeat and no other? */
static const char *check(const ga_config_t *config, const gb_beat_t *beat,
                         const body_t *body, gb_answer_t *answer)
{
    uint8_t mac[GB_BEAT_MAC_BYTES], right[GB_BEAT_MAC_BYTES];
    size_t signed_bytes;

    if (body->is_too_long ||
        gb_beat_read_answer(answer, &signed_bytes, mac, body->text, body->bytes)) {
        return "the answer is not a keeper's: is greenbalance-beat the handler of this "
               "URL there?";
    }
    if (!mgb_libcrypto_hmac(config->key, strlen(config->key), body->text, signed_bytes,
                            right) ||
        !mgb_libcrypto_same(mac, right)) {
        return "the answer is not signed with the key";
    }
    if (strcmp(answer->server, beat->server) != 0 || answer->session != beat->session ||
        answer->seq != beat->seq) {
        return "the answer is one to another heartbeat";
    }
    return NULL;
}

static void talk(const ga_config_t *config, const char *proxy, const gb_beat_t *beat,
                 ga_reply_t *reply)
{
    char text[GB_BEAT_BYTES];
    uint8_t mac[GB_BEAT_MAC_BYTES];
    body_t body = {.bytes = 0};
    const char *why = "";
    size_t bytes;

    if (!mgb_libcrypto_load(&why) || !mgb_libcurl_load(&why)) {
        snprintf(reply->why, sizeof reply->why, "%.150s", why);
        return;
    }
    bytes = gb_beat_write(beat, text, sizeof text);
    if (!bytes ||
        !mgb_libcrypto_hmac(config->key, strlen(config->key), text, bytes, mac)) {
        snprintf(reply->why, sizeof reply->why, "the heartbeat cannot be written");
        return;
    }
    bytes = gb_beat_seal(text, sizeof text, bytes, mac);
    if (!bytes || !post(config, proxy, text, bytes, &body, reply->why)) {
        return;
    }
    why = check(config, beat, &body, &reply->answer);
    if (why) {
        snprintf(reply->why, sizeof reply->why, "%s", why);
        return;
    }
    reply->is_good = true;
}

static void child(const ga_config_t *config, const char *proxy, const gb_beat_t *beat,
                  int fd)
{
    ga_reply_t reply;

    ga_signals_default();
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    memset(&reply, 0, sizeof reply);
    talk(config, proxy, beat, &reply);
    (void)!write(fd, &reply, sizeof reply);
}

void ga_exchange(const ga_config_t *config, const char *proxy, const gb_beat_t *beat,
                 ga_reply_t *reply)
{
    struct pollfd pipe_end = {.events = POLLIN};
    int ends[2], error;
    pid_t pid;

    memset(reply, 0, sizeof(*reply));
    if (pipe2(ends, O_CLOEXEC)) {
        snprintf(reply->why, sizeof reply->why, "no pipe: %s", strerror(errno));
        return;
    }
    pid = fork();
    error = errno;
    if (pid == 0) {
        child(config, proxy, beat, ends[1]);
        _exit(0);
    }
    close(ends[1]);
    pipe_end.fd = ends[0];
    if (pid < 0) {
        snprintf(reply->why, sizeof reply->why, "no process: %s", strerror(error));
    }
    else if (poll(&pipe_end, 1, (int)(CHILD_US / GB_US_PER_MS)) <= 0) {
        snprintf(reply->why, sizeof reply->why, "it took too long");
    }
    else if (read(ends[0], reply, sizeof(*reply)) != (ssize_t)sizeof(*reply)) {
        memset(reply, 0, sizeof(*reply));
        snprintf(reply->why, sizeof reply->why, "the process that asks it was ended");
    }
    close(ends[0]);
    if (pid > 0) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
    }
}
