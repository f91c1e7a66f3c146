/* SPDX-License-Identifier: Apache-2.0
 *
 * gb_wire.c - frames: twelve bytes of head, then fields of tag, length and bytes.
 */
#include "gb_wire.h"

#include <string.h>

#define FIELD_HEAD_BYTES 6u

static const char magic[4] = {'G', 'B', 'C', '1'};

static uint64_t number_at(const char *at, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = bytes; i-- > 0;) {
        value = value << 8 | (unsigned char)at[i];
    }
    return value;
}

static void number_to(char *to, size_t bytes, uint64_t value)
{
    for (size_t i = 0; i < bytes; i++) {
        to[i] = (char)(value >> (8 * i) & 0xff);
    }
}

bool gb_wire_read_head(const char *head, gb_wire_type_e *type, size_t *bytes)
{
    uint64_t kind = number_at(head + 4, 4), follows = number_at(head + 8, 4);

    if (memcmp(head, magic, sizeof magic) != 0 || kind < GB_WIRE_SUBMIT ||
        kind > GB_WIRE_REPLY || follows > GB_WIRE_MOST_BYTES - GB_WIRE_HEAD_BYTES) {
        return false;
    }
    *type = (gb_wire_type_e)kind;
    *bytes = (size_t)follows;
    return true;
}

bool gb_wire_read(gb_wire_type_e type, const char *at, size_t bytes, gb_wire_t *wire)
{
    memset(wire, 0, sizeof(*wire));
    wire->type = type;
    while (bytes > 0) {
        size_t tag, length;

        if (bytes < FIELD_HEAD_BYTES) {
            return false;
        }
        tag = (size_t)number_at(at, 2);
        length = (size_t)number_at(at + 2, 4);
        at += FIELD_HEAD_BYTES;
        bytes -= FIELD_HEAD_BYTES;
        if (tag == 0 || length > bytes) {
            return false;
        }
        if (tag < GB_TAG_COUNT) {
            if (wire->field[tag].at) {
                return false;
            }
            wire->field[tag] = (gb_span_text_t){at, length};
        }
        at += length;
        bytes -= length;
    }
    return true;
}

bool gb_wire_number(const gb_wire_t *wire, gb_wire_tag_e tag, size_t bytes,
                    uint64_t *value)
{
    const gb_span_text_t *field;

    if (tag <= 0 || tag >= GB_TAG_COUNT || bytes > sizeof(*value)) {
        return false;
    }
    field = &wire->field[tag];
    if (!field->at || field->bytes != bytes) {
        return false;
    }
    *value = number_at(field->at, bytes);
    return true;
}

void gb_wire_set_number(gb_wire_t *wire, gb_wire_tag_e tag, char *room, size_t bytes,
                        uint64_t value)
{
    if (tag > 0 && tag < GB_TAG_COUNT && bytes <= sizeof(value)) {
        number_to(room, bytes, value);
        wire->field[tag] = (gb_span_text_t){room, bytes};
    }
}

size_t gb_wire_bytes(const gb_wire_t *wire)
{
    size_t bytes = GB_WIRE_HEAD_BYTES;

    for (size_t tag = 1; tag < GB_TAG_COUNT; tag++) {
        if (!wire->field[tag].at) {
            continue;
        }
        bytes += FIELD_HEAD_BYTES;
        if (wire->field[tag].bytes > GB_WIRE_MOST_BYTES ||
            bytes + wire->field[tag].bytes > GB_WIRE_MOST_BYTES) {
            return 0;
        }
        bytes += wire->field[tag].bytes;
    }
    return bytes;
}

void gb_wire_write(const gb_wire_t *wire, char *to)
{
    size_t bytes = gb_wire_bytes(wire);

    memcpy(to, magic, sizeof magic);
    number_to(to + 4, 4, (uint64_t)wire->type);
    number_to(to + 8, 4, bytes - GB_WIRE_HEAD_BYTES);
    to += GB_WIRE_HEAD_BYTES;
    for (size_t tag = 1; tag < GB_TAG_COUNT; tag++) {
        const gb_span_text_t *field = &wire->field[tag];

        if (field->at) {
            number_to(to, 2, tag);
            number_to(to + 2, 4, field->bytes);
            memcpy(to + FIELD_HEAD_BYTES, field->at, field->bytes);
            to += FIELD_HEAD_BYTES + field->bytes;
        }
    }
}
