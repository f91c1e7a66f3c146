/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_wire.c - hostile frames, header lines, indicators and paths (libFuzzer's entry
 * point).
 *
 * A frame that is read is written again and reads the same; an id that a path gives
 * makes a path that gives it back.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/gb_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void frame(const char *text, size_t size)
{
    gb_wire_type_e type;
    gb_wire_t wire, again;
    size_t bytes;
    char *copy;

    if (size < GB_WIRE_HEAD_BYTES || !gb_wire_read_head(text, &type, &bytes) ||
        bytes > size - GB_WIRE_HEAD_BYTES ||
        !gb_wire_read(type, text + GB_WIRE_HEAD_BYTES, bytes, &wire)) {
        return;
    }
    bytes = gb_wire_bytes(&wire);
    copy = malloc(bytes);
    if (!copy || bytes < GB_WIRE_HEAD_BYTES) {
        abort();
    }
    gb_wire_write(&wire, copy);
    if (!gb_wire_read_head(copy, &type, &bytes) || type != wire.type ||
        !gb_wire_read(type, copy + GB_WIRE_HEAD_BYTES, bytes, &again)) {
        abort();
    }
    for (int tag = 0; tag < GB_TAG_COUNT; tag++) {
        if (!again.field[tag].at != !wire.field[tag].at ||
            again.field[tag].bytes != wire.field[tag].bytes ||
            (wire.field[tag].bytes && memcmp(again.field[tag].at, wire.field[tag].at,
                                             wire.field[tag].bytes) != 0)) {
            abort();
        }
    }
    free(copy);
}

static void headers(const char *text, size_t size)
{
    gb_span_text_t name, value;

    while (gb_wire_header(&text, &size, &name, &value)) {
        if (name.bytes == 0 || memchr(value.at, '\n', value.bytes) ||
            memchr(value.at, '\r', value.bytes) || memchr(value.at, 0, value.bytes)) {
            abort();
        }
    }
}

static void path(const char *text, size_t size)
{
    char id[GB_COMMIT_ID_BYTES], back[GB_COMMIT_ID_BYTES], to[GB_WIRE_PATH_BYTES];
    size_t bytes;

    if (!gb_wire_id_of_path(text, size, id)) {
        return;
    }
    bytes = gb_wire_path_of_id(to, sizeof to, id);
    if (!bytes || strlen(to) != bytes || !gb_wire_id_of_path(to, bytes, back) ||
        strcmp(id, back) != 0) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char json[256], *text = malloc(size ? size : 1);
    size_t bytes;

    if (!text) {
        return 0;
    }
    if (size) {
        memcpy(text, data, size);
    }
    frame(text, size);
    headers(text, size);
    path(text, size);
    bytes = gb_wire_json(json, sizeof json, text, size);
    if (bytes && (bytes >= sizeof json || json[0] != '{' || strlen(json) != bytes)) {
        abort();
    }
    free(text);
    return 0;
}
