/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_visit.c - reads Accept (RFC 9110, 12.5.1), Prefer (RFC 7240) and the browsers'
 * Sec-Fetch fields as far as the class of a request depends on them.
 */
#include "gb_visit.h"

#include "gb_part.h"

#include <stdio.h>
#include <string.h>

#define WEIGHT_MOST 1000 /* q=1 */

/* q=0.5 in thousandths; -1 when it is none (RFC 9110, 12.4.2). */
static int weight_read(const gb_part_t *part)
{
    const char *v = part->value;
    int weight, step = 100;

    if (!v || part->value_bytes < 1 || part->value_bytes > 5 ||
        (v[0] != '0' && v[0] != '1') || (part->value_bytes > 1 && v[1] != '.')) {
        return -1;
    }
    weight = v[0] == '1' ? WEIGHT_MOST : 0;
    for (size_t i = 2; i < part->value_bytes; i++, step /= 10) {
        if (v[i] < '0' || v[i] > '9') {
            return -1;
        }
        weight += (v[i] - '0') * step;
    }
    return weight > WEIGHT_MOST ? -1 : weight;
}

/* One media range and its weight; an element that cannot be read weighs -1. */
static const char *range_read(gb_part_t *range, int *weight, const char *at,
                              const char *end)
{
    gb_part_t part;

    at = gb_part_read(range, at, end);
    *weight = range->broken || range->value || !range->name_bytes ? -1 : WEIGHT_MOST;
    for (part = *range; part.ends == ';';) {
        at = gb_part_read(&part, at, end);
        if (gb_part_is(part.name, part.name_bytes, "q") && *weight >= 0) {
            *weight = part.broken ? -1 : weight_read(&part);
        }
    }
    return at;
}

/* What Accept says of the types that answers can have, in thousandths; -1: nothing. */
typedef struct accept_t {
    int html, plain, json, text_any, application_any, any;
} accept_t;

static bool is_json(const gb_part_t *range)
{
    return gb_part_is(range->name, range->name_bytes, "application/json") ||
           (range->name_bytes > 5 &&
            gb_part_is(range->name + range->name_bytes - 5, 5, "+json"));
}

static int *kind_of(accept_t *found, const gb_part_t *range)
{
    const struct {
        const char *name;
        int *weight;
    } kinds[] = {{"text/html", &found->html},
                 {"text/plain", &found->plain},
                 {"text/*", &found->text_any},
                 {"application/*", &found->application_any},
                 {"*/*", &found->any}};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (gb_part_is(range->name, range->name_bytes, kinds[i].name)) {
            return kinds[i].weight;
        }
    }
    return is_json(range) ? &found->json : NULL;
}

static bool is_event_stream(const gb_part_t *range)
{
    return gb_part_is(range->name, range->name_bytes, "text/event-stream");
}

/* Returns whether server-sent events are asked for. */
static bool accept_read(accept_t *found, const char *accept)
{
    bool streams = false;

    *found = (accept_t){-1, -1, -1, -1, -1, -1};
    for (const char *at = accept ? accept : "", *end = at + strlen(at); at < end;) {
        gb_part_t range;
        int weight, *kind;

        at = range_read(&range, &weight, at, end);
        if (weight < 0) {
            continue;
        }
        streams = streams || (weight > 0 && is_event_stream(&range));
        kind = kind_of(found, &range);
        if (kind && weight > *kind) {
            *kind = weight;
        }
    }
    return streams;
}

typedef struct prefer_t {
    bool async;    /* respond-async */
    bool has_wait; /* the first `wait` counts */
    bool no_wait;  /* wait=0 */
} prefer_t;

/* An empty value is the same as none (RFC 7240, 2). */
static void preference_read(prefer_t *found, const gb_part_t *part)
{
    if (part->broken) {
        return;
    }
    if (gb_part_is(part->name, part->name_bytes, "respond-async") &&
        !part->value_bytes) {
        found->async = true;
    }
    else if (gb_part_is(part->name, part->name_bytes, "wait") && part->value &&
             !found->has_wait) {
        found->has_wait = true;
        found->no_wait =
            part->value_bytes > 0 && strspn(part->value, "0") >= part->value_bytes;
    }
}

static void prefer_read(prefer_t *found, const char *prefer)
{
    *found = (prefer_t){false, false, false};
    for (const char *at = prefer ? prefer : "", *end = at + strlen(at); at < end;) {
        gb_part_t part;

        at = gb_part_read(&part, at, end);
        preference_read(found, &part);
        while (part.ends == ';') { /* parameters of the preference */
            at = gb_part_read(&part, at, end);
        }
    }
}

static const char *over_space(const char *at)
{
    return at + strspn(at, " \t");
}

/* One word is the whole field, but for the spaces around it. */
static bool field_is(const char *field, const char *word)
{
    size_t bytes;

    field = over_space(field);
    bytes = strcspn(field, " \t");
    return !*over_space(field + bytes) && gb_part_is(field, bytes, word);
}

/* As far as the browser says: old ones, and all on plain HTTP, say nothing. */
static bool may_navigate(const gb_visit_t *visit)
{
    const char *dest = visit->fetch_dest;

    if (visit->fetch_mode ? !field_is(visit->fetch_mode, "navigate")
                          : visit->scripted) {
        return false;
    }
    return !dest || field_is(dest, "document") || field_is(dest, "iframe") ||
           field_is(dest, "frame");
}

gb_visit_e gb_visit_class(const gb_visit_t *visit, bool page)
{
    prefer_t prefer;
    accept_t accept;

    prefer_read(&prefer, visit->prefer);
    if (prefer.async) {
        return GB_VISIT_IGNORE;
    }
    if (prefer.no_wait) {
        return page && visit->method && strcmp(visit->method, "HEAD") == 0
                   ? GB_VISIT_PAGE
                   : GB_VISIT_REFUSE;
    }
    if (!page || !visit->method || strcmp(visit->method, "GET") != 0 ||
        visit->partial || !may_navigate(visit) || accept_read(&accept, visit->accept) ||
        accept.html <= 0) {
        return GB_VISIT_HOLD;
    }
    return GB_VISIT_PAGE;
}

/* The most exact range that speaks of a type decides. */
static int weight_of(int exact, int group, int any)
{
    if (exact >= 0) {
        return exact;
    }
    if (group >= 0) {
        return group;
    }
    return any >= 0 ? any : 0;
}

bool gb_visit_likes_json(const char *accept)
{
    accept_t found;
    int json, plain, html;

    (void)accept_read(&found, accept);
    json = weight_of(found.json, found.application_any, found.any);
    plain = weight_of(found.plain, found.text_any, found.any);
    html = weight_of(found.html, found.text_any, found.any);
    return json > plain && json > html;
}

uint32_t gb_visit_seconds(int64_t wait_us)
{
    int64_t seconds;

    if (wait_us <= GB_US_PER_S) {
        return 1;
    }
    seconds = (wait_us - 1) / GB_US_PER_S + 1;
    return seconds > INT32_MAX ? (uint32_t)INT32_MAX : (uint32_t)seconds;
}

void gb_visit_words(int64_t wait_us, char *text, size_t room)
{
    uint32_t seconds = gb_visit_seconds(wait_us);

    if (seconds < 8) {
        (void)snprintf(text, room, "a few seconds");
    }
    else if (seconds < 58) {
        (void)snprintf(text, room, "about %u seconds", (seconds + 2) / 5 * 5);
    }
    else if (seconds < 90) {
        (void)snprintf(text, room, "about a minute");
    }
    else if (seconds < 3570) {
        (void)snprintf(text, room, "about %u minutes", (seconds + 30) / 60);
    }
    else if (seconds < 5400) {
        (void)snprintf(text, room, "about an hour");
    }
    else {
        (void)snprintf(text, room, "about %u hours", (seconds / 60 + 30) / 60);
    }
}
