/* SPDX-License-Identifier: Apache-2.0
 *
 * trace.c - reads `seconds,requests_per_second`; smooths, scales and draws a load.
 *
 * A line is a bin: when it begins, and the mean rate until the next one begins.  Bins
 * need not be of one length, but where a line follows later than 1.5 times the usual
 * step, there is a gap in which nothing came.
 */
#include "greensim.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MOST     200 /* bytes */
#define FILE_MOST     ((size_t)1 << 31)
#define GAP_STEPS     1.5  /* a line that comes later begins after a gap */
#define LINEAR_FROM_S 60.0 /* bins as long as this are joined by straight lines */
#define UNIX_FROM_S   1e8  /* seconds as large as this count from 1970 */
#define STREAM_DRAW   2

typedef struct bin_t {
    double at_s, length_s, rate;
} bin_t;

typedef struct bins_t {
    bin_t *bins;
    size_t count, room;
    double step_s; /* median */
    double end_s;  /* of the last one */
} bins_t;

/* Where the reader is, for its errors. */
typedef struct place_t {
    const char *path;
    unsigned long line;
    gs_error_t *error;
} place_t;

static void bins_add(bins_t *bins, bin_t bin)
{
    if (bins->count == bins->room) {
        bin_t *old = bins->bins;

        bins->room = bins->room ? 2 * bins->room : 1024;
        bins->bins = gs_alloc(bins->room, sizeof *bins->bins);
        if (bins->count) {
            memcpy(bins->bins, old, bins->count * sizeof *old);
        }
        free(old);
    }
    bins->bins[bins->count++] = bin;
    bins->end_s = bin.at_s + bin.length_s;
}

/* ---------------------------------------------------------------- lines */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* A decimal number, all of the text but blanks around it. */
static bool read_number(const char *text, size_t bytes, double *number)
{
    char copy[LINE_MOST + 1];
    char *end;

    while (bytes && is_blank(text[0])) {
        text++, bytes--;
    }
    while (bytes && is_blank(text[bytes - 1])) {
        bytes--;
    }
    if (!bytes || bytes > LINE_MOST) {
        return false;
    }
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    if (strspn(copy, "0123456789.eE+-") < bytes) {
        return false;
    }
    errno = 0;
    *number = strtod(copy, &end);
    return *end == '\0' && end != copy && isfinite(*number) && *number >= 0;
}

/* What may stand in the first line instead of numbers: words without digits in front.
 */
static bool is_header(const char *line, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if ((unsigned char)line[i] < ' ' || line[i] == 127) {
            return false;
        }
    }
    return bytes && ((line[0] >= 'A' && line[0] <= 'Z') ||
                     (line[0] >= 'a' && line[0] <= 'z') || line[0] == '"');
}

static bool refuse(const place_t *place, const char *what)
{
    return gs_fail(place->error,
                   "%s:%lu: %s; a line is SECONDS,REQUESTS_PER_SECOND, two numbers "
                   "that are not negative, as 300,12.5",
                   place->path, place->line, what);
}

static bool check_bin(const bins_t *bins, const bin_t *bin, const place_t *place)
{
    const bin_t *before = bins->count ? &bins->bins[bins->count - 1] : NULL;

    if (bin->rate > GS_RATE_MOST) {
        return gs_fail(place->error,
                       "%s:%lu: %.15g requests/s; at most %.15g are allowed",
                       place->path, place->line, bin->rate, GS_RATE_MOST);
    }
    if (before && bin->at_s <= before->at_s) {
        return gs_fail(place->error,
                       "%s:%lu: second %.15g after %.15g; seconds have to ascend",
                       place->path, place->line, bin->at_s, before->at_s);
    }
    if (before && bin->at_s - bins->bins[0].at_s >= GS_SECONDS_MOST) {
        return gs_fail(place->error,
                       "%s:%lu: %.15g seconds after the first line; a trace is at most "
                       "%u days long",
                       place->path, place->line, bin->at_s - bins->bins[0].at_s,
                       GS_SECONDS_MOST / 86400);
    }
    return true;
}

static bool read_line(bins_t *bins, const char *line, size_t bytes,
                      const place_t *place)
{
    const char *comma;
    bin_t bin = {0};

    if (bytes > LINE_MOST) {
        return refuse(place, "the line is too long");
    }
    comma = memchr(line, ',', bytes);
    if (!comma) {
        return refuse(place, "there is no comma");
    }
    if (!read_number(line, (size_t)(comma - line), &bin.at_s)) {
        return refuse(place, "the seconds are no number");
    }
    if (!read_number(comma + 1, bytes - (size_t)(comma - line) - 1, &bin.rate)) {
        return refuse(place, "the rate is no number");
    }
    if (!check_bin(bins, &bin, place)) {
        return false;
    }
    bins_add(bins, bin);
    return true;
}

/* Empty lines and those that begin with # are left out, the first may be a header. */
static bool read_lines(bins_t *bins, const char *text, size_t bytes, place_t *place)
{
    bool is_first = true;

    if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3, bytes -= 3;
    }
    while (bytes) {
        const char *end = memchr(text, '\n', bytes);
        size_t whole = end ? (size_t)(end - text) + 1 : bytes;
        size_t length = end ? whole - 1 : whole;

        place->line++;
        if (length && text[length - 1] == '\r') {
            length--;
        }
        if (length && text[0] != '#') {
            if (!(is_first && length <= LINE_MOST && is_header(text, length)) &&
                !read_line(bins, text, length, place)) {
                return false;
            }
            is_first = false;
        }
        text += whole;
        bytes -= whole;
    }
    if (bins->count < 2) {
        gs_fail(place->error, "%s: %s; a trace needs at least two lines of numbers",
                place->path, bins->count ? "only one bin" : "no numbers");
        return false;
    }
    return true;
}

/* ---------------------------------------------------------------- bins */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median_step(const bins_t *bins)
{
    size_t count = bins->count - 1;
    double *steps = gs_alloc(count, sizeof *steps);
    double median;

    for (size_t i = 0; i < count; i++) {
        steps[i] = bins->bins[i + 1].at_s - bins->bins[i].at_s;
    }
    qsort(steps, count, sizeof *steps, compare_doubles);
    median = steps[count / 2];
    free(steps);
    return median;
}

/* Makes the gaps bins in which nothing came: three of them when there is room, so that
 * straight lines fall to nothing at once. */
static bins_t with_gaps(const bins_t *bins)
{
    double step_s = median_step(bins);
    double first_s = bins->bins[0].at_s;
    bins_t out = {.step_s = step_s};

    for (size_t i = 0; i < bins->count; i++) {
        bin_t bin = bins->bins[i];
        double next_s =
            i + 1 < bins->count ? bins->bins[i + 1].at_s : bin.at_s + step_s;
        double gap_s = next_s - bin.at_s - step_s;

        bin.length_s = next_s - bin.at_s;
        bin.at_s -= first_s;
        if (bin.length_s <= GAP_STEPS * step_s) {
            bins_add(&out, bin);
            continue;
        }
        bin.length_s = step_s;
        bins_add(&out, bin);
        if (gap_s <= 2 * step_s) {
            bins_add(&out, (bin_t){bin.at_s + step_s, gap_s, 0});
            continue;
        }
        bins_add(&out, (bin_t){bin.at_s + step_s, step_s, 0});
        bins_add(&out, (bin_t){bin.at_s + 2 * step_s, gap_s - 2 * step_s, 0});
        bins_add(&out, (bin_t){next_s - first_s - step_s, step_s, 0});
    }
    return out;
}

/* A moving mean over `count` bins around each; beyond the ends the last one counts. */
static void smooth_bins(bins_t *bins, size_t count)
{
    size_t before = count / 2, after = count - before, last = bins->count - 1;
    double *sums = gs_alloc(bins->count + 1, sizeof *sums);

    for (size_t i = 0; i < bins->count; i++) {
        sums[i + 1] = sums[i] + bins->bins[i].rate;
    }
    double first_rate = bins->bins[0].rate, last_rate = bins->bins[last].rate;

    for (size_t i = 0; i <= last; i++) {
        size_t missing_before = i < before ? before - i : 0;
        size_t missing_after = i + after > last + 1 ? i + after - last - 1 : 0;
        double sum =
            sums[i + after - missing_after] - sums[i - (before - missing_before)];

        sum += first_rate * (double)missing_before + last_rate * (double)missing_after;
        bins->bins[i].rate = fmax(sum / (double)count, 0);
    }
    free(sums);
}

/* Each second gets the mean of the bins that it overlaps. */
static void expand_flat(gs_trace_t *trace, const bins_t *bins)
{
    for (size_t i = 0; i < bins->count; i++) {
        const bin_t *bin = &bins->bins[i];
        double end_s = fmin(bin->at_s + bin->length_s, trace->seconds);

        for (uint32_t t = (uint32_t)bin->at_s; t < end_s; t++) {
            double overlap_s = fmin(end_s, t + 1.0) - fmax(bin->at_s, t);

            trace->rate[t] += (float)(bin->rate * fmax(overlap_s, 0));
        }
    }
}

static double centre(const bin_t *bin)
{
    return bin->at_s + bin->length_s / 2;
}

static void expand_linear(gs_trace_t *trace, const bins_t *bins)
{
    size_t i = 0;

    for (uint32_t t = 0; t < trace->seconds; t++) {
        double at = t + 0.5;
        const bin_t *left, *right;

        while (i + 1 < bins->count && centre(&bins->bins[i + 1]) <= at) {
            i++;
        }
        left = &bins->bins[i];
        right = i + 1 < bins->count ? left + 1 : left;
        if (at <= centre(left) || left == right) {
            trace->rate[t] = (float)left->rate;
        }
        else {
            double share = (at - centre(left)) / (centre(right) - centre(left));

            trace->rate[t] = (float)(left->rate + (right->rate - left->rate) * share);
        }
    }
}

static bool expand(gs_trace_t *trace, bins_t *bins, double smooth_s,
                   const place_t *place)
{
    double seconds = floor(bins->end_s + 1e-6);
    double window = smooth_s / bins->step_s;

    if (!bins->bins || seconds < 1 || seconds > GS_SECONDS_MOST) {
        return gs_fail(place->error,
                       "%s: %g seconds long; from 1 s to %u days is allowed",
                       place->path, seconds, GS_SECONDS_MOST / 86400);
    }
    if (smooth_s > 0 && window < 1) {
        return gs_fail(place->error,
                       "--smooth %gs: the bins of %s are %g s long; at least that much",
                       smooth_s, place->path, bins->step_s);
    }
    if (window >= 2) {
        smooth_bins(bins, (size_t)fmin(floor(window + 0.5), 2.0 * (double)bins->count));
    }
    trace->seconds = (uint32_t)seconds;
    trace->rate = gs_alloc(trace->seconds, sizeof *trace->rate);
    if (bins->step_s >= LINEAR_FROM_S) {
        expand_linear(trace, bins);
    }
    else {
        expand_flat(trace, bins);
    }
    return true;
}

/* ---------------------------------------------------------------- files */

bool gs_trace_parse(gs_trace_t *trace, const char *path, const char *text, size_t bytes,
                    double smooth_s, gs_error_t *error)
{
    const char *name = strrchr(path, '/');
    place_t place = {.path = path, .error = error};
    bins_t bins = {0};
    bool good;

    *trace = (gs_trace_t){0};
    snprintf(trace->name, sizeof trace->name, "%s", name ? name + 1 : path);
    good = read_lines(&bins, text, bytes, &place);
    if (good) {
        bins_t whole = with_gaps(&bins);

        if (bins.bins[0].at_s >= UNIX_FROM_S) {
            trace->start_day_s = (int64_t)fmod(bins.bins[0].at_s, 86400);
        }
        good = expand(trace, &whole, smooth_s, &place);
        free(whole.bins);
    }
    free(bins.bins);
    return good;
}

bool gs_trace_read(gs_trace_t *trace, const char *path, double smooth_s,
                   gs_error_t *error)
{
    size_t bytes;
    char *text = gs_file_read(path, FILE_MOST, &bytes, error);
    bool good = text && gs_trace_parse(trace, strcmp(path, "-") == 0 ? "stdin" : path,
                                       text, bytes, smooth_s, error);

    free(text);
    return good;
}

char *gs_file_read(const char *path, size_t most, size_t *bytes, gs_error_t *error)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    size_t room = 1 << 16, got;
    char *text;

    if (!file) {
        gs_fail(error, "%s cannot be read: %s", path, strerror(errno));
        return NULL;
    }
    text = gs_alloc(room, 1);
    *bytes = 0;
    while ((got = fread(text + *bytes, 1, room - *bytes, file)) > 0) {
        *bytes += got;
        if (*bytes > most) {
            break;
        }
        if (*bytes == room) {
            room = room > most / 2 ? most + 1 : 2 * room;
            text = gs_realloc(text, room);
        }
    }
    if (ferror(file)) {
        gs_fail(error, "%s cannot be read: %s", path, strerror(errno));
        free(text);
        text = NULL;
    }
    else if (*bytes > most) {
        gs_fail(error, "%s is longer than %zu MB", path, most >> 20);
        free(text);
        text = NULL;
    }
    if (file != stdin) {
        fclose(file);
    }
    return text;
}

/* ---------------------------------------------------------------- the whole load */

void gs_trace_smooth(gs_trace_t *trace, double window_s)
{
    uint32_t window = (uint32_t)fmin(floor(window_s + 0.5), trace->seconds);
    uint32_t after = window - window / 2;
    double *sums;

    if (window < 2) {
        return;
    }
    sums = gs_alloc((size_t)trace->seconds + 1, sizeof *sums);
    for (uint32_t t = 0; t < trace->seconds; t++) {
        sums[t + 1] = sums[t] + trace->rate[t];
    }
    for (uint32_t t = 0; t < trace->seconds; t++) {
        uint32_t from = t < window / 2 ? 0 : t - window / 2;
        uint32_t to = trace->seconds - t < after ? trace->seconds : t + after;

        trace->rate[t] = (float)((sums[to] - sums[from]) / (to - from));
    }
    free(sums);
    trace->is_counted = false;
}

double gs_trace_peak(const gs_trace_t *trace)
{
    uint32_t minutes = trace->seconds / 60 ? trace->seconds / 60 : 1;
    double *mean = gs_alloc(minutes, sizeof *mean);
    double at = 0.999 * (minutes - 1), peak;
    uint32_t below = (uint32_t)at;

    for (uint32_t i = 0; i < minutes; i++) {
        uint32_t from = 60 * i;
        uint32_t to = from + 60 < trace->seconds ? from + 60 : trace->seconds;

        for (uint32_t t = from; t < to; t++) {
            mean[i] += (double)trace->rate[t] / (to - from);
        }
    }
    qsort(mean, minutes, sizeof *mean, compare_doubles);
    peak = mean[below];
    if (below + 1 < minutes) {
        peak += (mean[below + 1] - mean[below]) * (at - below);
    }
    free(mean);
    return peak;
}

void gs_trace_scale(gs_trace_t *trace, double factor, double most_rate)
{
    for (uint32_t t = 0; t < trace->seconds; t++) {
        trace->rate[t] = (float)fmin(trace->rate[t] * factor, most_rate);
    }
    trace->is_counted = false;
}

void gs_trace_draw(gs_trace_t *trace, uint64_t seed)
{
    gs_random_t random;

    if (!trace->arrived) {
        trace->arrived = gs_alloc(trace->seconds, sizeof *trace->arrived);
    }
    gs_random_seed(&random, seed, STREAM_DRAW);
    trace->requests = 0;
    for (uint32_t t = 0; t < trace->seconds; t++) {
        if (!trace->is_counted) {
            trace->arrived[t] = gs_random_poisson(&random, trace->rate[t]);
        }
        trace->requests += trace->arrived[t];
    }
}

void gs_trace_free(gs_trace_t *trace)
{
    free(trace->rate);
    free(trace->arrived);
    *trace = (gs_trace_t){0};
}
