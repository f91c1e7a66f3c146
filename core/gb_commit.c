/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_commit.c - what statuses mean, when a write is complete, and how that is said.
 */
#include "gb_commit.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------ words */

gb_commit_outcome_e gb_commit_outcome(int status)
{
    if (status < 200 || status > 599 || status == 502 || status == 504) {
        return GB_OUT_UNCLEAR;
    }
    if (status < 400) {
        return GB_OUT_ACCEPTED;
    }
    if (status == 408 || status == 425 || status == 429 || status == 503) {
        return GB_OUT_RETRY;
    }
    return status < 500 ? GB_OUT_REJECTED : GB_OUT_ROLLED_BACK;
}

static bool is_one_of(const char *word, const char *const *words)
{
    while (*words && strcmp(word, *words) != 0) {
        words++;
    }
    return *words != NULL;
}

bool gb_commit_is_safe(const char *method)
{
    static const char *const safe[] = {"GET", "HEAD", "OPTIONS", "TRACE", NULL};

    return method && is_one_of(method, safe);
}

bool gb_commit_is_repeatable(const char *method)
{
    static const char *const repeatable[] = {"PUT", "DELETE", NULL};

    return method && is_one_of(method, repeatable);
}

const char *gb_commit_state_name(gb_commit_state_e state)
{
    switch (state) {
    case GB_COMMIT_OPEN:
        return "open";
    case GB_COMMIT_SPREADING:
        return "spreading";
    case GB_COMMIT_MET:
        return "met";
    case GB_COMMIT_EVERYWHERE:
        return "everywhere";
    case GB_COMMIT_REJECTED:
        return "rejected";
    case GB_COMMIT_FAILED:
        return "failed";
    case GB_COMMIT_UNKNOWN:
        return "unknown";
    default:
        return "invalid";
    }
}

/* ------------------------------------------------------------ terms */

/* The upper bound wins over nothing: limits the wrong way round mean the lower one. */
static int64_t within(int64_t value, int64_t least, int64_t most)
{
    value = value < most ? value : most;
    return value > least ? value : least;
}

static void take_client(gb_commit_terms_t *terms, const gb_commit_conf_t *conf,
                        const gb_commit_wish_t *wish)
{
    int64_t most_us =
        conf->wait_most_us > terms->wait_us ? conf->wait_most_us : terms->wait_us;

    if (wish->wait_us >= 0) {
        terms->wait_us = within(wish->wait_us, 0, most_us);
    }
    else if (wish->async) {
        terms->wait_us = 0;
    }
    if (wish->async) {
        terms->late_status = 202;
    }
}

static void take_application(gb_commit_terms_t *terms, const gb_commit_conf_t *conf,
                             const gb_commit_wish_t *wish, uint32_t *quorum)
{
    if (wish->quorum > 0 && conf->quorum_most > 0) {
        *quorum = (uint32_t)within(wish->quorum, conf->quorum_least, conf->quorum_most);
    }
    if (wish->wait_us >= 0 && conf->wait_most_us > 0) {
        terms->wait_us = within(wish->wait_us, conf->wait_least_us, conf->wait_most_us);
    }
}

gb_commit_terms_t gb_commit_terms(const gb_commit_conf_t *conf,
                                  const gb_commit_wish_t *wish, bool is_client,
                                  uint32_t members)
{
    gb_commit_terms_t terms = {0, within(conf->wait_us, 0, GB_NEVER_US),
                               conf->late_status == 503 ? 503 : 202};
    uint32_t quorum = conf->quorum;

    if (wish && is_client) {
        take_client(&terms, conf, wish);
    }
    else if (wish) {
        take_application(&terms, conf, wish, &quorum);
    }
    terms.need = (uint32_t)within(quorum, 1, members > 0 ? members : 1);
    terms.wait_us = within(terms.wait_us, 0, GB_NEVER_US);
    return terms;
}

/* ------------------------------------------------------------ printing */

size_t gb_commit_print_token(char *to, size_t room, uint64_t epoch, uint64_t seq)
{
    int length = snprintf(to, room, "%" PRIu64 ".%" PRIu64, epoch, seq);

    if (length < 0 || (size_t)length >= room) {
        if (room > 0) {
            *to = '\0';
        }
        return 0;
    }
    return (size_t)length;
}

/* A field that grows; `full` when something had no room. */
typedef struct field_t {
    char *to;
    size_t room, length;
    bool full;
} field_t;

__attribute__((format(printf, 2, 3))) static void add(field_t *field,
                                                      const char *format, ...)
{
    va_list arguments;
    int length;

    if (field->full) {
        return;
    }
    va_start(arguments, format);
    length = vsnprintf(field->to + field->length, field->room - field->length, format,
                       arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= field->room - field->length) {
        field->full = true;
        return;
    }
    field->length += (size_t)length;
}

/* Structured fields know visible ASCII alone: what else came is left out. */
static void add_id(field_t *field, const char *id)
{
    add(field, "id=\"");
    for (size_t i = 0; i < GB_COMMIT_ID_BYTES && id[i]; i++) {
        if (id[i] > ' ' && id[i] <= '~') {
            add(field, id[i] == '"' || id[i] == '\\' ? "\\%c" : "%c", id[i]);
        }
    }
    add(field, "\", ");
}

/* Rounded down: nobody is promised more than was worked out.  In whole numbers, which
 * have no decimal comma in any locale. */
static void add_nines(field_t *field, double nines)
{
    double tenths = nines < GB_COMMIT_NINES_MOST ? floor(nines * 10 + 1e-9)
                                                 : GB_COMMIT_NINES_MOST * 10;
    int whole = (int)tenths;

    add(field, ", nines=%d.%d", whole / 10, whole % 10);
}

size_t gb_commit_print(char *to, size_t room, const gb_commit_mark_t *mark)
{
    field_t field = {to, room, 0, room == 0};

    if (mark->id[0]) {
        add_id(&field, mark->id);
    }
    /* Integers of structured fields have 15 digits. */
    if (mark->seq > 0 && mark->seq <= GB_COMMIT_INTEGER_MOST &&
        mark->epoch <= GB_COMMIT_INTEGER_MOST) {
        add(&field, "epoch=%" PRIu64 ", seq=%" PRIu64 ", ", mark->epoch, mark->seq);
    }
    add(&field, "state=%s", gb_commit_state_name(mark->state));
    if (mark->state != GB_COMMIT_UNKNOWN) {
        add(&field, ", need=%u, copies=%u, of=%u, asleep=%u, aside=%u, same=?%d",
            mark->need, mark->copies, mark->of, mark->asleep, mark->aside, mark->same);
        if (mark->nines >= 0) { /* false for what is no number, too */
            add_nines(&field, mark->nines);
        }
    }
    if (field.full) {
        if (room > 0) {
            *to = '\0';
        }
        return 0;
    }
    return field.length;
}

/* ------------------------------------------------------------ nines */

/* ln(1 - exp(-W / MTTF)): of the probability that something with this mean time to
 * failure fails within the window. */
static double ln_failure(int64_t mttf_us, int64_t window_us)
{
    return log(-expm1(-(double)window_us / (double)mttf_us));
}

static bool is_same_domain(const gb_commit_copy_t *copies, size_t a, size_t b)
{
    return a == b ||
           (copies[a].domain == copies[b].domain && copies[a].domain != GB_NO_INDEX);
}

static bool is_first_of_its_domain(const gb_commit_copy_t *copies, size_t i)
{
    for (size_t j = 0; j < i; j++) {
        if (is_same_domain(copies, i, j)) {
            return false;
        }
    }
    return true;
}

/* In logarithms: the product of many is less than a double can say. */
static double ln_domain_loss(const gb_commit_copy_t *copies, size_t count, size_t first,
                             int64_t window_us)
{
    int64_t longest_us = 0;

    for (size_t i = first; i < count; i++) {
        if (is_same_domain(copies, first, i) && copies[i].mttf_us > longest_us) {
            longest_us = copies[i].mttf_us;
        }
    }
    return ln_failure(longest_us, window_us);
}

double gb_commit_nines(const gb_commit_copy_t *copies, size_t count, int64_t window_us)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++) {
        if (copies[i].mttf_us <= 0) {
            return -1;
        }
    }
    if (count == 0) {
        return -1;
    }
    if (window_us <= 0) {
        return GB_COMMIT_NINES_MOST;
    }
    for (size_t i = 0; i < count; i++) {
        if (is_first_of_its_domain(copies, i)) {
            sum += ln_domain_loss(copies, count, i, window_us);
        }
    }
    sum /= -log(10);
    if (!(sum > 0)) { /* certain loss, which rounding may take below 0 */
        return 0;
    }
    return sum < GB_COMMIT_NINES_MOST ? sum : GB_COMMIT_NINES_MOST;
}
