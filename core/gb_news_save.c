/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_news_save.c - what NEWS has learned, checked, and as bytes that outlive a restart.
 */
#include "gb_news_private.h"

#include <math.h>
#include <string.h>

#define MARK        UINT32_C(0x574e4247) /* "GBNW" */
#define LOAD_MOST   60.0                 /* e^60 requests/s are not reached */
#define WEIGHT_MOST 1e4
#define COUNT_MOST  1e7

static bool within(const double *value, uint32_t count, double low, double high)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!(value[i] >= low && value[i] <= high)) { /* also no number */
            return false;
        }
    }
    return true;
}

static bool pairs_are_sane(const gb_news_learned_t *l)
{
    bool sane = l->pairs <= GB_NEWS_PAIRS && within(&l->noted, 1, 0, 1e9) &&
                within(&l->trust, 1, -GB_NEWS_TRUST_MOST, GB_NEWS_TRUST_MOST);

    for (uint32_t i = 0; sane && i < l->pairs; i++) {
        sane = fabs((double)l->pair[i].now) <= LOAD_MOST &&
               fabs((double)l->pair[i].then) <= LOAD_MOST;
    }
    return sane;
}

bool gb_news_sane(const gb_news_learned_t *l)
{
    double sum = 0;

    if (l->layout != GB_NEWS_LAYOUT || l->day_s >= 86400 ||
        !within(&l->shift, 1, 1e-12, 1e12) || !within(&l->seconds, 1, 0, 86400) ||
        !within(l->mean, GB_NEWS_MEANS, -LOAD_MOST, LOAD_MOST) ||
        !within(l->weight, GB_NEWS_FEATURES, -WEIGHT_MOST, WEIGHT_MOST) ||
        !within(l->spread[0], GB_NEWS_FEATURES * GB_NEWS_FEATURES, -WEIGHT_MOST,
                WEIGHT_MOST) ||
        !within(l->scale, GB_NEWS_SCALES, -WEIGHT_MOST, WEIGHT_MOST) ||
        !within(l->error, GB_NEWS_ERRORS, 0, COUNT_MOST)) {
        return false;
    }
    if (!within(&l->fast_error, 1, 0, WEIGHT_MOST) ||
        !within(&l->slow_error, 1, 0, WEIGHT_MOST) ||
        !within(&l->fast_noise, 1, 0, WEIGHT_MOST) ||
        !within(&l->slow_noise, 1, 0, WEIGHT_MOST) ||
        !within(l->level_error, GB_NEWS_LEVELS, 0, WEIGHT_MOST) ||
        !within(l->level_count, GB_NEWS_LEVELS, 0, COUNT_MOST) ||
        !within(l->hour_error, GB_NEWS_HOURS, 0, WEIGHT_MOST) ||
        !within(l->hour_count, GB_NEWS_HOURS, 0, COUNT_MOST) ||
        !within(&l->price, 1, -100, 100) || !within(&l->arrived_rate, 1, 0, 1e18) ||
        !within(&l->late_rate, 1, 0, 1e18) || !within(&l->watched_s, 1, 0, 1e9) ||
        !within(&l->record, 1, 0, 1e18) || !within(&l->near_s, 1, 0, 1e9) ||
        !within(l->profile, GB_NEWS_DAY, -LOAD_MOST, LOAD_MOST) || !pairs_are_sane(l)) {
        return false;
    }
    for (uint32_t i = 0; i < GB_NEWS_FEATURES; i++) {
        if (!(l->spread[i][i] > 0)) {
            return false; /* a variance */
        }
    }
    for (uint32_t i = 0; i < GB_NEWS_DAY; i++) {
        if (l->seen[i] > 1) {
            return false;
        }
    }
    for (uint32_t i = 0; i < GB_NEWS_ERRORS; i++) {
        sum += l->error[i];
    }
    return sum > 1e-3;
}

/* A cursor over the bytes; the same order of fields writes and reads. */
typedef struct cursor_t {
    uint8_t *out;
    const uint8_t *in;
} cursor_t;

static void each_uint(cursor_t *c, uint64_t *value, unsigned bytes)
{
    uint64_t read = 0;

    for (unsigned i = 0; i < bytes; i++) {
        if (c->out) {
            *c->out++ = (uint8_t)(*value >> (8 * i));
        }
        else {
            read |= (uint64_t)*c->in++ << (8 * i);
        }
    }
    if (!c->out) {
        *value = read;
    }
}

static void each_u32(cursor_t *c, uint32_t *value)
{
    uint64_t wide = *value;

    each_uint(c, &wide, 4);
    *value = (uint32_t)wide;
}

static void each_double(cursor_t *c, double *value, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bits;

        memcpy(&bits, &value[i], sizeof(bits));
        each_uint(c, &bits, 8);
        memcpy(&value[i], &bits, sizeof(bits));
    }
}

static void each_float(cursor_t *c, float *value)
{
    uint32_t bits;

    memcpy(&bits, value, sizeof(bits));
    each_u32(c, &bits);
    memcpy(value, &bits, sizeof(bits));
}

static void each_field(cursor_t *c, gb_news_learned_t *l)
{
    each_u32(c, &l->layout);
    each_u32(c, &l->day_s);
    each_double(c, &l->shift, 1);
    each_double(c, &l->seconds, 1);
    each_double(c, l->mean, GB_NEWS_MEANS);
    each_double(c, l->weight, GB_NEWS_FEATURES);
    each_double(c, l->spread[0], GB_NEWS_FEATURES * GB_NEWS_FEATURES);
    each_double(c, l->scale, GB_NEWS_SCALES);
    each_double(c, l->error, GB_NEWS_ERRORS);
    each_double(c, &l->fast_error, 1);
    each_double(c, &l->slow_error, 1);
    each_double(c, &l->fast_noise, 1);
    each_double(c, &l->slow_noise, 1);
    each_double(c, l->level_error, GB_NEWS_LEVELS);
    each_double(c, l->level_count, GB_NEWS_LEVELS);
    each_double(c, l->hour_error, GB_NEWS_HOURS);
    each_double(c, l->hour_count, GB_NEWS_HOURS);
    each_double(c, &l->price, 1);
    each_double(c, &l->arrived_rate, 1);
    each_double(c, &l->late_rate, 1);
    each_double(c, &l->watched_s, 1);
    each_double(c, &l->record, 1);
    each_double(c, &l->near_s, 1);
    each_double(c, &l->trust, 1);
    each_double(c, &l->noted, 1);
    each_u32(c, &l->pairs);
    each_u32(c, &l->draw);
    for (uint32_t i = 0; i < GB_NEWS_PAIRS; i++) {
        each_float(c, &l->pair[i].now);
        each_float(c, &l->pair[i].then);
    }
    each_double(c, l->profile, GB_NEWS_DAY);
    for (uint32_t i = 0; i < GB_NEWS_DAY; i++) {
        uint64_t seen = l->seen[i];

        each_uint(c, &seen, 1);
        l->seen[i] = (uint8_t)seen;
    }
}

/* FNV-1a: a cut or a flipped bit is found. */
static uint64_t checksum(const uint8_t *bytes, size_t count)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < count; i++) {
        sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return sum;
}

size_t gb_news_save(const gb_news_t *memory, uint8_t *out)
{
    gb_news_learned_t learned = memory->learned;
    cursor_t c = {.out = out};
    uint32_t mark = MARK, bytes = GB_NEWS_SAVED_BYTES;
    uint64_t sum;

    if (!gb_news_sane(&learned)) {
        gb_news_forget(&learned);
    }
    each_u32(&c, &mark);
    each_u32(&c, &bytes);
    each_field(&c, &learned);
    sum = checksum(out, (size_t)(c.out - out));
    each_uint(&c, &sum, 8);
    return (size_t)(c.out - out);
}

bool gb_news_load(gb_news_t *memory, const uint8_t *in, size_t bytes)
{
    cursor_t c = {.in = in};
    uint32_t mark = 0, size = 0;
    uint64_t sum = 0;

    memset(memory, 0, sizeof(*memory));
    if (bytes != GB_NEWS_SAVED_BYTES) {
        return false;
    }
    each_u32(&c, &mark);
    each_u32(&c, &size);
    each_field(&c, &memory->learned);
    each_uint(&c, &sum, 8);
    if (mark != MARK || size != GB_NEWS_SAVED_BYTES ||
        sum != checksum(in, GB_NEWS_SAVED_BYTES - 8) ||
        !gb_news_sane(&memory->learned)) {
        memset(memory, 0, sizeof(*memory));
        return false;
    }
    return true;
}
