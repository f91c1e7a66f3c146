/* SPDX-License-Identifier: Apache-2.0
 *
 * The wire to a machine's front panel: a unix socket that takes orders. */
#ifndef RIG_WIRE_H
#define RIG_WIRE_H

#include <stddef.h>

#define WIRE_MESSAGE_BYTES 256

/* Sends one order to the machine listening at path and waits for its answer. Returns
 * 0 with the answer's text in reply, 1 when the machine refused, -1 when it could not
 * be asked (errno is set). */
int wire_ask(const char *path, const char *order, char *reply, size_t size);

/* A socket that takes orders at path, replacing a stale one; -1 and errno. */
int wire_listen(const char *path);

/* Takes one order: a connected descriptor with the order's text, or -1. */
int wire_take(int listener, char *order, size_t size);

/* Answers and closes the descriptor; status 0 is success. */
void wire_answer(int fd, int status, const char *text);

#endif
