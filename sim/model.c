/* SPDX-License-Identifier: Apache-2.0
 *
 * model.c - reads the fleet that `greenctl model` prints.
 */
#include "greensim.h"
#include "../core/gb_value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_MOST    ((size_t)16 << 20)
#define WATTS_MOST    100000.0
#define CAPACITY_MOST 100000.0
#define BOOT_MOST_S   86400.0

/* Which server of which file is read. */
typedef struct place_t {
    const char *path;
    uint32_t index;
    gs_error_t *error;
} place_t;

static bool refuse(const place_t *place, const char *key, const char *allowed)
{
    return gs_fail(place->error,
                   "%s: servers[%u]: \"%s\" is missing or not allowed; it is %s, as "
                   "greenctl model prints it",
                   place->path, place->index, key, allowed);
}

static bool number_in(gb_value_t value, double least, double most, double *number)
{
    double read;

    if (!gb_value_number(value, &read) || !(read >= least && read <= most)) {
        return false;
    }
    *number = read;
    return true;
}

static bool read_watts(const place_t *place, gb_value_t object, gb_curve_t *curve)
{
    gb_value_t watts = gb_value_member(object, "watts");
    gb_value_t at;

    if (gb_value_count(watts) != 11) {
        return refuse(place, "watts", "a list of 11 watts");
    }
    at = gb_value_element(watts, 0);
    for (int i = 0; i < 11; i++, at = gb_value_next(at)) {
        if (!number_in(at, 0, WATTS_MOST, &curve->watts[i])) {
            return refuse(place, "watts", "a list of 11 watts from 0 to 100000");
        }
    }
    if (!number_in(gb_value_member(object, "off_watts"), 0, WATTS_MOST,
                   &curve->off_watts)) {
        return refuse(place, "off_watts", "a number of watts from 0 to 100000");
    }
    curve->assumed = gb_value_says(gb_value_member(object, "watts_source"), "assumed");
    return true;
}

static bool read_server(const place_t *place, gb_value_t object, gs_server_t *server)
{
    gb_value_t boot = gb_value_member(object, "boot_s");
    double capacity;

    if (!gb_value_text(gb_value_member(object, "name"), server->name,
                       sizeof server->name) ||
        !server->name[0]) {
        return refuse(place, "name", "a text of 1 to 127 bytes");
    }
    if (!number_in(gb_value_member(object, "capacity"), 1, CAPACITY_MOST, &capacity) ||
        capacity != floor(capacity)) {
        return refuse(place, "capacity", "a whole number from 1 to 100000");
    }
    server->capacity = (uint32_t)capacity;
    if (!number_in(gb_value_member(boot, "p50"), 0, BOOT_MOST_S, &server->setup_s) ||
        !number_in(gb_value_member(boot, "p95"), server->setup_s, BOOT_MOST_S,
                   &server->setup_p95_s)) {
        return refuse(place, "boot_s",
                      "{\"p50\", \"p95\"}, seconds from 0 to 86400, p95 not below p50");
    }
    return read_watts(place, object, &server->curve);
}

bool gs_model_parse(const char *path, const char *text, size_t bytes,
                    gs_server_t **servers, uint32_t *count, gs_error_t *error)
{
    place_t place = {.path = path, .error = error};
    gb_value_t document, list, at;
    uint32_t found;

    *servers = NULL;
    if (!gb_value_read(text, bytes, &document)) {
        return gs_fail(error, "%s is no JSON; it has to be what greenctl model prints",
                       path);
    }
    list = gb_value_member(document, "servers");
    found = gb_value_count(list);
    if (found < 1 || found > GS_SERVERS_MOST) {
        return gs_fail(error,
                       "%s has %u servers; \"servers\" is a list of 1 to %u of them",
                       path, found, GS_SERVERS_MOST);
    }
    *servers = gs_alloc(found, sizeof **servers);
    at = gb_value_element(list, 0);
    for (place.index = 0; place.index < found; place.index++) {
        if (!read_server(&place, at, &(*servers)[place.index])) {
            free(*servers);
            *servers = NULL;
            return false;
        }
        at = gb_value_next(at);
    }
    *count = found;
    return true;
}

bool gs_model_read(const char *path, gs_server_t **servers, uint32_t *count,
                   gs_error_t *error)
{
    size_t bytes;
    char *text = gs_file_read(path, MODEL_MOST, &bytes, error);
    bool good = text && gs_model_parse(path, text, bytes, servers, count, error);

    free(text);
    return good;
}
