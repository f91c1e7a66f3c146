/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_checkpoint.c - the file of all machines: what was written is read, whatever
 * the clocks did meanwhile, and what was damaged is refused as a whole.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/gb_checkpoint.h"

Suite *gb_checkpoint_suite(void);

#define S       GB_US_PER_S
#define NOW     (1000000 * S)
#define WALL    (INT64_C(1800000000) * S)
#define CENTURY (INT64_C(100) * 365 * 86400 * S)
#define MOST    3

/* Where things stand in the file; gb_checkpoint.c keeps them to itself. */
#define HEAD_BYTES   ((gb_checkpoint_bytes(0)) - 8)
#define RECORD_BYTES (gb_checkpoint_bytes(1) - gb_checkpoint_bytes(0))
#define AT_STATE     (HEAD_BYTES + GB_CHECKPOINT_KEY_BYTES + GB_REASON_BYTES)

typedef struct file_t {
    uint8_t bytes[32768];
    size_t count;
} file_t;

static gb_saved_t sample(uint32_t i)
{
    gb_saved_t saved;
    gb_machine_t *m = &saved.machine;

    memset(&saved, 0, sizeof(saved));
    gb_state_init(m, 120 * S, NOW - 500 * S);
    snprintf(saved.key, sizeof(saved.key), "name:web%u", i);
    snprintf(m->last_error, sizeof(m->last_error), "refused %u", i);
    m->state = i == 0 ? GB_ST_FAILED : GB_ST_WAKING;
    m->wish = GB_WISH_KEEP_ON;
    m->failures_in_row = 3 + i;
    m->deadline_at_us = i == 0 ? GB_NEVER_US : NOW + 300 * S;
    m->retry_at_us = i == 0 ? NOW + 600 * S : GB_NEVER_US;
    m->wake_at_us = i == 0 ? 0 : NOW - 30 * S;
    m->wakes = UINT64_C(0x123456789abcdef0) + i;
    m->sleeps = 7;
    m->failures = 9;
    m->cycle_at_us[0] = NOW - 3600 * S;
    m->cycle_at_us[63] = NOW - 10 * S;
    m->cycle_next = 1;
    gb_boot_learn(&m->boot, 42 * S);
    gb_boot_learn(&m->boot, 43 * S);
    saved.joules = 1234.5 + i;
    saved.joules_always_on = 99999.25;
    return saved;
}

static void fetch_sample(void *baton, uint32_t i, gb_saved_t *into)
{
    (void)baton;
    *into = sample(i);
}

static void fetch_given(void *baton, uint32_t i, gb_saved_t *into)
{
    *into = ((const gb_saved_t *)baton)[i];
}

static file_t file_of(uint32_t count, bool paused)
{
    file_t file;

    memset(&file, 0xaa, sizeof(file));
    ck_assert_uint_le(gb_checkpoint_bytes(count), sizeof(file.bytes));
    file.count =
        gb_checkpoint_write(file.bytes, count, paused, WALL, NOW, fetch_sample, NULL);
    ck_assert_uint_eq(file.count, gb_checkpoint_bytes(count));
    ck_assert_uint_eq(file.bytes[file.count], 0xaa); /* not a byte too many */
    return file;
}

static file_t file_with(const gb_saved_t *saved)
{
    file_t file;

    memset(&file, 0, sizeof(file));
    file.count = gb_checkpoint_write(file.bytes, 1, false, WALL, NOW, fetch_given,
                                     (void *)(uintptr_t)saved);
    return file;
}

/* In a block of exactly its size, so that a sanitizer sees a byte read behind it. */
static gb_checkpoint_e check_exact(const uint8_t *bytes, size_t count)
{
    uint8_t *exact = malloc(count ? count : 1);
    uint32_t records = 77;
    bool paused = false;
    gb_checkpoint_e result;

    ck_assert_ptr_nonnull(exact);
    memcpy(exact, bytes, count);
    result = gb_checkpoint_check(exact, count, &records, &paused);
    if (result != GB_CHECKPOINT_OK) {
        ck_assert_uint_eq(records, 77); /* nothing is said of a file that is refused */
    }
    free(exact);
    return result;
}

/* The checksum that somebody would write who means harm. */
static void sign(file_t *file)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < file->count - 8; i++) {
        sum = (sum ^ file->bytes[i]) * UINT64_C(0x100000001b3);
    }
    for (unsigned i = 0; i < 8; i++) {
        file->bytes[file->count - 8 + i] = (uint8_t)(sum >> (8 * i));
    }
}

START_TEST(what_was_written_is_read)
{
    file_t file = file_of(MOST, true);
    uint32_t count;
    bool paused;

    ck_assert_int_eq(gb_checkpoint_check(file.bytes, file.count, &count, &paused),
                     GB_CHECKPOINT_OK);
    ck_assert_uint_eq(count, MOST);
    ck_assert(paused);
    for (uint32_t i = 0; i < MOST; i++) {
        gb_saved_t wrote = sample(i), got;
        const gb_machine_t *a = &wrote.machine, *b = &got.machine;

        gb_checkpoint_read(file.bytes, i, WALL, NOW, &got);
        ck_assert_str_eq(got.key, wrote.key);
        ck_assert_str_eq(b->last_error, a->last_error);
        ck_assert_uint_eq(b->state, a->state);
        ck_assert_uint_eq(b->wish, a->wish);
        ck_assert_uint_eq(b->failures_in_row, a->failures_in_row);
        ck_assert_int_eq(b->entered_at_us, a->entered_at_us);
        ck_assert_int_eq(b->deadline_at_us, a->deadline_at_us);
        ck_assert_int_eq(b->wake_at_us, a->wake_at_us);
        ck_assert_int_eq(b->retry_at_us, a->retry_at_us);
        ck_assert_uint_eq(b->wakes, a->wakes);
        ck_assert_uint_eq(b->sleeps, a->sleeps);
        ck_assert_uint_eq(b->failures, a->failures);
        ck_assert_uint_eq(b->cycle_next, a->cycle_next);
        ck_assert(!memcmp(b->cycle_at_us, a->cycle_at_us, sizeof(a->cycle_at_us)));
        ck_assert(!memcmp(&b->boot, &a->boot, sizeof(a->boot)));
        ck_assert(got.joules == wrote.joules);
        ck_assert(got.joules_always_on == wrote.joules_always_on);
    }
}
END_TEST

/* As version 1 wrote it, which had no histogram of boot times. */
START_TEST(a_file_of_version_1_is_read)
{
    const size_t tail =
        sizeof(((gb_boot_t *)0)->sum_us) + sizeof(((gb_boot_t *)0)->histogram);
    file_t file = file_of(MOST, true);
    size_t short_record = RECORD_BYTES - tail;
    uint32_t count;
    bool paused;

    for (uint32_t i = 0; i < MOST; i++) {
        memmove(file.bytes + HEAD_BYTES + i * short_record,
                file.bytes + HEAD_BYTES + i * RECORD_BYTES, short_record);
    }
    file.count -= MOST * tail;
    ck_assert_uint_eq(file.bytes[4], 3);
    file.bytes[4] = 1;
    sign(&file);
    ck_assert_int_eq(check_exact(file.bytes, file.count), GB_CHECKPOINT_OK);
    ck_assert_int_eq(check_exact(file.bytes, file.count - 1), GB_CHECKPOINT_TRUNCATED);
    ck_assert_int_eq(gb_checkpoint_check(file.bytes, file.count, &count, &paused),
                     GB_CHECKPOINT_OK);
    ck_assert_uint_eq(count, MOST);
    for (uint32_t i = 0; i < MOST; i++) {
        gb_saved_t wrote = sample(i), got;

        gb_checkpoint_read(file.bytes, i, WALL, NOW, &got);
        ck_assert_str_eq(got.key, wrote.key);
        ck_assert_uint_eq(got.machine.boot.sum_us, 0);
        wrote.machine.boot.sum_us = 0;
        memset(wrote.machine.boot.histogram, 0, sizeof(wrote.machine.boot.histogram));
        ck_assert(!memcmp(&got.machine.boot, &wrote.machine.boot, sizeof(gb_boot_t)));
    }
    file.bytes[4] = 0;
    sign(&file);
    ck_assert_int_eq(check_exact(file.bytes, file.count), GB_CHECKPOINT_FOREIGN);
}
END_TEST

START_TEST(an_empty_file_of_machines_is_complete)
{
    file_t file = file_of(0, false);
    uint32_t count = 1;
    bool paused = true;

    ck_assert_int_eq(gb_checkpoint_check(file.bytes, file.count, &count, &paused),
                     GB_CHECKPOINT_OK);
    ck_assert_uint_eq(count, 0);
    ck_assert(!paused);
}
END_TEST

START_TEST(a_file_cut_at_any_byte_is_refused_as_truncated)
{
    file_t file = file_of(2, false);

    for (size_t cut = 0; cut < file.count; cut++) {
        ck_assert_msg(check_exact(file.bytes, cut) == GB_CHECKPOINT_TRUNCATED,
                      "cut at %zu", cut);
    }
    ck_assert_int_eq(check_exact(file.bytes, file.count), GB_CHECKPOINT_OK);
}
END_TEST

/* Files of version 2 end with their machines. */
START_TEST(a_file_of_version_2_is_read)
{
    file_t file = file_of(MOST, true);
    gb_saved_t wrote = sample(MOST - 1), got;

    file.bytes[4] = 2;
    memset(file.bytes + 24, 0, 4);
    sign(&file);
    ck_assert_int_eq(check_exact(file.bytes, file.count), GB_CHECKPOINT_OK);
    ck_assert_uint_eq(gb_checkpoint_news_count(file.bytes, file.count), 0);
    gb_checkpoint_read(file.bytes, MOST - 1, WALL, NOW, &got);
    ck_assert_str_eq(got.key, wrote.key);
    ck_assert(!memcmp(&got.machine.boot, &wrote.machine.boot, sizeof(gb_boot_t)));
    ck_assert_int_eq(check_exact(file.bytes, file.count + 1), GB_CHECKPOINT_DAMAGED);
    ck_assert_int_eq(check_exact(file.bytes, file.count + RECORD_BYTES),
                     GB_CHECKPOINT_DAMAGED);
}
END_TEST

/* ------------------------------------------------------------------ blocks */

/* What NEWS may have learned about the balancer `i`. */
static gb_news_t news_of(uint32_t i)
{
    gb_news_t news;

    memset(&news, 0, sizeof(news));
    gb_news_forget(&news.learned);
    news.learned.arrived_rate = 12.5 + i;
    news.learned.late_rate = 0.25;
    return news;
}

/* A file of two machines and three balancers. */
static file_t file_of_news(void)
{
    file_t file = file_of(2, false);
    char key[32];

    ck_assert_uint_le(file.count + 3 * gb_checkpoint_news_bytes(), sizeof(file.bytes));
    for (uint32_t i = 0; i < 3; i++) {
        gb_news_t news = news_of(i);

        snprintf(key, sizeof(key), "balancer %u", i);
        file.count += gb_checkpoint_add_news(file.bytes + file.count, key, &news);
    }
    return file;
}

/* How many of the file's blocks can be read; each of these is right. */
static uint32_t blocks_read(const file_t *file, size_t bytes)
{
    uint32_t blocks = gb_checkpoint_news_count(file->bytes, bytes), good = 0;

    for (uint32_t i = 0; i < blocks; i++) {
        char key[GB_CHECKPOINT_KEY_BYTES], wanted[32];
        gb_news_t got;

        snprintf(wanted, sizeof(wanted), "balancer %u", i);
        if (gb_checkpoint_read_news(file->bytes, bytes, i, key, &got)) {
            gb_news_t wrote = news_of(i);

            ck_assert_str_eq(key, wanted);
            ck_assert_double_eq(got.learned.arrived_rate, wrote.learned.arrived_rate);
            ck_assert_double_eq(got.learned.late_rate, wrote.learned.late_rate);
            good++;
        }
        else {
            ck_assert_double_eq(got.learned.arrived_rate, 0);
            ck_assert_ptr_nonnull(memchr(key, 0, sizeof(key)));
        }
    }
    return good;
}

START_TEST(what_was_learned_is_read_by_its_key)
{
    file_t file = file_of_news();

    ck_assert_int_eq(check_exact(file.bytes, file.count), GB_CHECKPOINT_OK);
    ck_assert_uint_eq(gb_checkpoint_news_count(file.bytes, file.count), 3);
    ck_assert_uint_eq(blocks_read(&file, file.count), 3);
}
END_TEST

START_TEST(a_damaged_block_is_forgotten_alone)
{
    file_t file = file_of_news();
    size_t begin = gb_checkpoint_bytes(2), each = gb_checkpoint_news_bytes();

    for (size_t at = 0; at < 3 * each; at += 7) {
        file.bytes[begin + at] ^= 0x10;
        ck_assert_int_eq(check_exact(file.bytes, file.count), GB_CHECKPOINT_OK);
        ck_assert_uint_eq(gb_checkpoint_news_count(file.bytes, file.count), 3);
        ck_assert_msg(blocks_read(&file, file.count) == 2, "at %zu", at);
        file.bytes[begin + at] ^= 0x10;
    }
}
END_TEST

START_TEST(a_block_that_is_cut_off_is_forgotten_alone)
{
    file_t file = file_of_news();
    size_t begin = gb_checkpoint_bytes(2), each = gb_checkpoint_news_bytes();

    for (size_t cut = begin; cut < file.count; cut++) {
        uint32_t whole = (uint32_t)((cut - begin) / each);

        ck_assert_int_eq(check_exact(file.bytes, cut), GB_CHECKPOINT_OK);
        ck_assert_uint_eq(gb_checkpoint_news_count(file.bytes, cut),
                          whole + ((cut - begin) % each != 0));
        ck_assert_uint_eq(blocks_read(&file, cut), whole);
    }
}
END_TEST

START_TEST(machines_that_are_damaged_take_the_blocks_with_them)
{
    file_t file = file_of_news();

    file.bytes[AT_STATE] ^= 1;
    ck_assert_int_eq(check_exact(file.bytes, file.count), GB_CHECKPOINT_DAMAGED);
}
END_TEST

START_TEST(blocks_of_no_size_or_of_any_are_harmless)
{
    static const uint32_t insides[] = {0, 1, 17, 100000, UINT32_MAX};
    file_t file = file_of_news();
    file_t machines = file_of(2, false);

    for (size_t i = 0; i < sizeof(insides) / sizeof(insides[0]); i++) {
        memcpy(file.bytes + 24, &insides[i], 4);
        memcpy(machines.bytes, file.bytes, machines.count);
        sign(&machines);
        memcpy(file.bytes, machines.bytes, machines.count);
        ck_assert_int_eq(check_exact(file.bytes, file.count), GB_CHECKPOINT_OK);
        ck_assert_uint_eq(blocks_read(&file, file.count), 0);
    }
}
END_TEST

START_TEST(a_key_that_is_too_long_is_cut)
{
    file_t file = file_of(0, false);
    char key[2 * GB_CHECKPOINT_KEY_BYTES], got[GB_CHECKPOINT_KEY_BYTES];
    gb_news_t news = news_of(0);

    memset(key, 'k', sizeof(key));
    key[sizeof(key) - 1] = '\0';
    file.count += gb_checkpoint_add_news(file.bytes + file.count, key, &news);
    ck_assert(gb_checkpoint_read_news(file.bytes, file.count, 0, got, &news));
    ck_assert_uint_eq(strlen(got), GB_CHECKPOINT_KEY_BYTES - 1);
    ck_assert(!gb_checkpoint_read_news(file.bytes, file.count, 1, got, &news));
}
END_TEST

START_TEST(every_flipped_bit_is_found)
{
    file_t file = file_of(1, false);

    for (size_t bit = 0; bit < 8 * file.count; bit++) {
        uint8_t mask = (uint8_t)(1u << bit % 8);

        file.bytes[bit / 8] ^= mask;
        ck_assert_msg(check_exact(file.bytes, file.count) != GB_CHECKPOINT_OK,
                      "bit %zu of byte %zu", bit % 8, bit / 8);
        file.bytes[bit / 8] ^= mask;
    }
}
END_TEST

/* Every state machine question and event must be safe on whatever was let in. */
static void use(const file_t *file, int64_t wall_us, int64_t now_us)
{
    static const gb_rules_t rules = {.drain_timeout_us = S,
                                     .stop_timeout_us = S,
                                     .wake_timeout_us = S,
                                     .cycles_per_day = 24};
    gb_saved_t saved;
    gb_machine_t m;

    gb_checkpoint_read(file->bytes, 0, wall_us, now_us, &saved);
    gb_state_init(&m, 120 * S, now_us);
    m.flags = GB_MF_CAN_WAKE | GB_MF_CAN_SLEEP | GB_MF_MANAGED;
    gb_checkpoint_claim(&saved, &m, now_us);
    ck_assert_uint_lt(m.state, GB_ST_COUNT);
    ck_assert_uint_lt(m.wish, GB_WISH_COUNT);
    ck_assert(m.state != GB_ST_ON && m.state != GB_ST_DRAINING);
    ck_assert_uint_eq(m.flags, GB_MF_CAN_WAKE | GB_MF_CAN_SLEEP | GB_MF_MANAGED);
    ck_assert_int_le(m.entered_at_us, now_us);
    ck_assert(memchr(m.last_error, '\0', sizeof(m.last_error)) != NULL);
    ck_assert(memchr(saved.key, '\0', sizeof(saved.key)) != NULL);
    ck_assert_int_ge(gb_boot_quantile(&m.boot, 950), 0);
    ck_assert_uint_le(gb_state_cycles_today(&m, now_us), GB_CYCLES_KEPT);
    for (int e = 0; e < GB_EV_COUNT; e++) {
        gb_machine_t copy = m;

        gb_state_apply(&copy, (gb_event_e)e, &rules, now_us, NULL);
        gb_state_may_sleep(&copy, &rules, now_us);
        gb_state_may_wake(&copy, &rules, now_us);
    }
}

/* As above, but signed anew: refused for its values, or harmless. */
START_TEST(every_flipped_bit_with_a_right_checksum_is_refused_or_harmless)
{
    file_t file = file_of(1, false);
    int let_in = 0, refused = 0;

    for (size_t bit = 0; bit < 8 * (file.count - 8); bit++) {
        uint8_t mask = (uint8_t)(1u << bit % 8);

        file.bytes[bit / 8] ^= mask;
        sign(&file);
        if (check_exact(file.bytes, file.count) == GB_CHECKPOINT_OK) {
            use(&file, WALL + 5 * S, NOW);
            use(&file, WALL - 5 * S, S);
            let_in++;
        }
        else {
            refused++;
        }
        file.bytes[bit / 8] ^= mask;
    }
    ck_assert_int_gt(let_in, 1000);
    ck_assert_int_gt(refused, 100);
}
END_TEST

static uint64_t dice(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

START_TEST(records_of_noise_are_refused_or_harmless)
{
    const char *given = getenv("GB_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : 20260101;
    uint64_t random = seed | 1;
    int let_in = 0;

    printf("test_gb_checkpoint: GB_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    for (int round = 0; round < 3000; round++) {
        file_t file = file_of(1, false);
        size_t from = AT_STATE + 4 * (dice(&random) % 60);

        /* Some values are left as they were, or nothing would ever get in. */
        for (size_t i = from; i < file.count - 8; i++) {
            if (dice(&random) % 4 == 0) {
                file.bytes[i] = (uint8_t)(dice(&random) >> 32);
            }
        }
        sign(&file);
        if (check_exact(file.bytes, file.count) == GB_CHECKPOINT_OK) {
            use(&file, INT64_MAX, NOW);
            use(&file, INT64_MIN, 0);
            let_in++;
        }
    }
    ck_assert_int_gt(let_in, 0);
}
END_TEST

static void refuses(gb_saved_t saved, const char *what)
{
    file_t file = file_with(&saved);

    ck_assert_msg(check_exact(file.bytes, file.count) == GB_CHECKPOINT_DAMAGED, "%s",
                  what);
}

START_TEST(values_that_cannot_be_are_refused)
{
    gb_saved_t saved;

#define REFUSES(change)                                                                \
    do {                                                                               \
        saved = sample(0);                                                             \
        change;                                                                        \
        refuses(saved, #change);                                                       \
    } while (0)

    REFUSES(saved.key[0] = '\0');
    REFUSES(saved.machine.state = GB_ST_COUNT);
    REFUSES(saved.machine.state = UINT32_MAX);
    REFUSES(saved.machine.wish = GB_WISH_COUNT);
    REFUSES(saved.machine.cycle_next = GB_CYCLES_KEPT);
    REFUSES(saved.machine.boot.next = GB_BOOT_KEPT);
    REFUSES(saved.machine.boot.first_guess_us = -1);
    REFUSES(saved.machine.boot.took_us[0] = -1);
    REFUSES(saved.machine.boot.took_us[GB_BOOT_KEPT - 1] = INT64_MIN);
    REFUSES(saved.joules = NAN);
    REFUSES(saved.joules = INFINITY);
    REFUSES(saved.joules = -1.0);
    REFUSES(saved.joules_always_on = -INFINITY);
    REFUSES(saved.joules_always_on = NAN);
#undef REFUSES
}
END_TEST

START_TEST(foreign_files_are_named_so)
{
    file_t file = file_of(1, false);

    file.bytes[0] ^= 1;
    ck_assert_int_eq(check_exact(file.bytes, file.count), GB_CHECKPOINT_FOREIGN);
    file.bytes[0] ^= 1;
    file.bytes[4]++; /* a later version */
    ck_assert_int_eq(check_exact(file.bytes, file.count), GB_CHECKPOINT_FOREIGN);
    memset(file.bytes, 0, sizeof(file.bytes));
    ck_assert_int_eq(check_exact(file.bytes, sizeof(file.bytes)),
                     GB_CHECKPOINT_FOREIGN);
}
END_TEST

START_TEST(a_count_beyond_all_room_is_refused_before_it_is_multiplied)
{
    file_t file = file_of(1, false);

    memset(file.bytes + 8, 0xff, 4);
    ck_assert_int_eq(check_exact(file.bytes, file.count), GB_CHECKPOINT_DAMAGED);
}
END_TEST

/* ---------------------------------------------------------------------- the clocks */

START_TEST(time_that_passed_is_added_to_the_ages_and_taken_from_what_is_to_come)
{
    file_t file = file_of(2, false);
    gb_saved_t got;

    gb_checkpoint_read(file.bytes, 0, WALL + 60 * S, 5000 * S, &got);
    ck_assert_int_eq(got.machine.entered_at_us, 5000 * S - 560 * S);
    ck_assert_int_eq(got.machine.retry_at_us, 5000 * S + 540 * S);
    ck_assert_int_eq(got.machine.deadline_at_us, GB_NEVER_US);
    ck_assert_int_eq(got.machine.wake_at_us, 0);
    ck_assert_int_eq(got.machine.cycle_at_us[0], 5000 * S - 3660 * S);
    ck_assert_int_eq(got.machine.cycle_at_us[1], 0);
    gb_checkpoint_read(file.bytes, 1, WALL + 60 * S, 5000 * S, &got);
    ck_assert_int_eq(got.machine.wake_at_us, 5000 * S - 90 * S);
    ck_assert_int_eq(got.machine.deadline_at_us, 5000 * S + 240 * S);
}
END_TEST

/* After a reboot the monotonic clock is younger than the ages: instants before it. */
START_TEST(a_reboot_leaves_ages_right_though_they_lie_before_the_clock)
{
    file_t file = file_of(1, false);
    gb_saved_t got;

    gb_checkpoint_read(file.bytes, 0, WALL + 60 * S, 30 * S, &got);
    ck_assert_int_eq(got.machine.entered_at_us, 30 * S - 560 * S);
    ck_assert_uint_eq(gb_state_cycles_today(&got.machine, 30 * S), 2);
    gb_checkpoint_read(file.bytes, 0, WALL + 90000 * S, 30 * S, &got);
    ck_assert_uint_eq(gb_state_cycles_today(&got.machine, 30 * S), 0);
}
END_TEST

/* An age that comes to lie at the number that means "none" stays an instant. */
START_TEST(an_instant_does_not_become_none_by_chance)
{
    file_t file = file_of(2, false);
    gb_saved_t got;

    gb_checkpoint_read(file.bytes, 1, WALL, 30 * S, &got);
    ck_assert_int_ne(got.machine.wake_at_us, 0);
    gb_checkpoint_read(file.bytes, 1, WALL, 10 * S, &got);
    ck_assert_uint_eq(gb_state_cycles_today(&got.machine, 10 * S), 2);
}
END_TEST

START_TEST(a_wall_clock_that_went_back_adds_nothing)
{
    file_t file = file_of(1, false);
    gb_saved_t got;

    gb_checkpoint_read(file.bytes, 0, WALL - 86400 * S, NOW, &got);
    ck_assert_int_eq(got.machine.entered_at_us, NOW - 500 * S);
    ck_assert_int_eq(got.machine.retry_at_us, NOW + 600 * S);
}
END_TEST

START_TEST(a_wall_clock_centuries_ahead_makes_everything_due_and_nothing_overflow)
{
    file_t file = file_of(2, false);
    gb_saved_t got;

    gb_checkpoint_read(file.bytes, 0, INT64_MAX, NOW, &got);
    ck_assert_int_le(got.machine.entered_at_us, NOW - CENTURY);
    ck_assert_int_eq(got.machine.retry_at_us, NOW);
    gb_checkpoint_read(file.bytes, 1, INT64_MAX, NOW, &got);
    ck_assert_int_eq(got.machine.deadline_at_us, NOW);
    use(&file, INT64_MAX, NOW);
    use(&file, INT64_MIN, NOW);
}
END_TEST

START_TEST(an_instant_ahead_of_the_saver_s_clock_has_age_nought)
{
    gb_saved_t saved = sample(0), got;
    file_t file;

    saved.machine.entered_at_us = NOW + 1000 * S;
    saved.machine.retry_at_us = NOW - 1000 * S;
    file = file_with(&saved);
    gb_checkpoint_read(file.bytes, 0, WALL, NOW, &got);
    ck_assert_int_eq(got.machine.entered_at_us, NOW);
    ck_assert_int_eq(got.machine.retry_at_us, NOW);
}
END_TEST

START_TEST(what_stands_behind_a_text_s_end_is_not_written)
{
    gb_saved_t saved = sample(0);
    file_t file, clean = file_of(1, false);

    memset(saved.machine.last_error + strlen(saved.machine.last_error) + 1, 's', 20);
    memset(saved.key + strlen(saved.key) + 1, 's', 20);
    file = file_with(&saved);
    ck_assert(!memcmp(file.bytes, clean.bytes, file.count));
    memset(saved.machine.last_error, 'x', sizeof(saved.machine.last_error));
    file = file_with(&saved); /* a text without an end is cut */
    gb_checkpoint_read(file.bytes, 0, WALL, NOW, &saved);
    ck_assert_uint_eq(strlen(saved.machine.last_error), GB_REASON_BYTES - 1);
}
END_TEST

/* -------------------------------------------------------------------------- claims */

START_TEST(an_order_that_a_pause_kept_back_is_still_kept_back)
{
    gb_saved_t saved = sample(0);
    gb_machine_t m;

    gb_state_init(&saved.machine, 60 * S, NOW);
    saved.machine.state = GB_ST_WAKING;
    gb_state_hold_order(&saved.machine);
    gb_state_init(&m, 60 * S, NOW);
    gb_checkpoint_claim(&saved, &m, NOW);
    ck_assert(m.flags & GB_MF_ORDER_HELD);
    ck_assert_uint_eq(m.state, GB_ST_WAKING);
}
END_TEST

START_TEST(a_claim_is_a_claim)
{
    for (uint32_t s = 0; s < GB_ST_COUNT; s++) {
        gb_saved_t saved = sample(0);
        gb_machine_t m;

        saved.machine.state = s;
        saved.machine.flags = UINT32_MAX;
        saved.machine.verdict = GB_VERDICT_GOOD;
        saved.machine.proof = GB_PROOF_OFF;
        gb_state_init(&m, 60 * S, NOW);
        m.flags = GB_MF_CAN_WAKE;
        m.rungs_wake = 2;
        gb_checkpoint_claim(&saved, &m, NOW);
        ck_assert_uint_eq(m.state,
                          s == GB_ST_ON || s == GB_ST_DRAINING ? GB_ST_UNKNOWN : s);
        /* WAKING without a deadline is one whose order was kept back. */
        ck_assert_uint_eq(m.flags,
                          GB_MF_CAN_WAKE | (s == GB_ST_WAKING ? GB_MF_ORDER_HELD : 0));
        ck_assert_uint_eq(m.rungs_wake, 2);
        ck_assert_uint_eq(m.verdict, GB_VERDICT_NONE);
        ck_assert_uint_eq(m.proof, GB_PROOF_NONE);
        ck_assert_int_eq(m.boot.first_guess_us, 60 * S); /* of the configuration */
        ck_assert_uint_eq(m.boot.count, 2);
        ck_assert_uint_eq(m.wish, GB_WISH_KEEP_ON);
        ck_assert_uint_eq(m.failures_in_row, 3);
        ck_assert_uint_eq(m.sleeps, 7);
    }
}
END_TEST

START_TEST(results_have_names)
{
    ck_assert_str_eq(gb_checkpoint_name(GB_CHECKPOINT_TRUNCATED), "truncated");
    ck_assert_str_eq(gb_checkpoint_name(GB_CHECKPOINT_DAMAGED), "damaged");
    for (int i = 0; i < 6; i++) {
        ck_assert_ptr_nonnull(gb_checkpoint_name((gb_checkpoint_e)i));
    }
}
END_TEST

Suite *gb_checkpoint_suite(void)
{
    Suite *suite = suite_create("gb_checkpoint");
    TCase *tc = tcase_create("file");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, what_was_written_is_read);
    tcase_add_test(tc, a_file_of_version_1_is_read);
    tcase_add_test(tc, an_empty_file_of_machines_is_complete);
    tcase_add_test(tc, a_file_cut_at_any_byte_is_refused_as_truncated);
    tcase_add_test(tc, a_file_of_version_2_is_read);
    tcase_add_test(tc, every_flipped_bit_is_found);
    tcase_add_test(tc, every_flipped_bit_with_a_right_checksum_is_refused_or_harmless);
    tcase_add_test(tc, records_of_noise_are_refused_or_harmless);
    tcase_add_test(tc, values_that_cannot_be_are_refused);
    tcase_add_test(tc, foreign_files_are_named_so);
    tcase_add_test(tc, a_count_beyond_all_room_is_refused_before_it_is_multiplied);
    tcase_add_test(tc, what_stands_behind_a_text_s_end_is_not_written);
    suite_add_tcase(suite, tc);

    tc = tcase_create("blocks");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, what_was_learned_is_read_by_its_key);
    tcase_add_test(tc, a_damaged_block_is_forgotten_alone);
    tcase_add_test(tc, a_block_that_is_cut_off_is_forgotten_alone);
    tcase_add_test(tc, machines_that_are_damaged_take_the_blocks_with_them);
    tcase_add_test(tc, blocks_of_no_size_or_of_any_are_harmless);
    tcase_add_test(tc, a_key_that_is_too_long_is_cut);
    suite_add_tcase(suite, tc);

    tc = tcase_create("clocks");
    tcase_add_test(
        tc, time_that_passed_is_added_to_the_ages_and_taken_from_what_is_to_come);
    tcase_add_test(tc, a_reboot_leaves_ages_right_though_they_lie_before_the_clock);
    tcase_add_test(tc, an_instant_does_not_become_none_by_chance);
    tcase_add_test(tc, a_wall_clock_that_went_back_adds_nothing);
    tcase_add_test(
        tc, a_wall_clock_centuries_ahead_makes_everything_due_and_nothing_overflow);
    tcase_add_test(tc, an_instant_ahead_of_the_saver_s_clock_has_age_nought);
    suite_add_tcase(suite, tc);

    tc = tcase_create("claims");
    tcase_add_test(tc, a_claim_is_a_claim);
    tcase_add_test(tc, an_order_that_a_pause_kept_back_is_still_kept_back);
    tcase_add_test(tc, results_have_names);
    suite_add_tcase(suite, tc);
    return suite;
}
