/* SPDX-License-Identifier: Apache-2.0
 *
 * Gives one order to a simulated machine, in the words of ipmi_sim's chassis_control:
 *
 *   chassis SOCKET VIA get power
 *   chassis SOCKET VIA set power 1|0, set shutdown 1, set reset 1
 *
 * VIA says who orders and goes into the machine's record of orders. ipmi_sim waits for
 * this program with the whole BMC blocked, so it asks, prints and ends. */
#include "wire.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool join(char *order, size_t size, int count, char **words)
{
    size_t length = 0;

    for (int i = 0; i < count; i++) {
        int added =
            snprintf(order + length, size - length, "%s%s", i ? " " : "", words[i]);

        if (added < 0 || (size_t)added >= size - length) {
            return false;
        }
        length += (size_t)added;
    }
    return true;
}

int main(int count, char **words)
{
    char order[WIRE_MESSAGE_BYTES];
    char reply[WIRE_MESSAGE_BYTES];
    int status;

    if (count < 4 || !join(order, sizeof order, count - 2, words + 2)) {
        fputs("usage: chassis SOCKET VIA get|set NAME [VALUE]...\n", stderr);
        return 2;
    }
    status = wire_ask(words[1], order, reply, sizeof reply);
    if (status < 0) {
        perror(words[1]);
        return 1;
    }
    fputs(reply, stdout);
    return status;
}
