/* SPDX-License-Identifier: Apache-2.0
 *
 * An ipmi_sim module that adds the two DCMI commands a power meter is read by: Get
 * DCMI Capabilities Info and Get Power Reading (DCMI 1.5, sections 6.1 and 6.6).
 *
 *   loadlib "dcmi.so" "/path/of/the/watts/file"
 *
 * The watts come from a file (see meter.h): they are modelled, not measured. */
#include <OpenIPMI/serv.h>
#include <OpenIPMI/mcserv.h>

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define GROUP_DCMI            0xdc
#define GET_CAPABILITIES      0x01
#define GET_POWER_READING     0x02
#define COMPLETION_INVALID    0xc1
#define COMPLETION_LENGTH     0xc7
#define COMPLETION_PARAMETER  0xc9
#define MEASUREMENT_IS_ACTIVE 0x40

static struct {
    char path[4096];
    unsigned int least;
    unsigned int most;
    double sum;
    unsigned int count;
    time_t since;
} meter;

static unsigned int read_watts(void)
{
    unsigned int watts = 0;
    FILE *file = fopen(meter.path, "re");

    if (file) {
        if (fscanf(file, "%u", &watts) != 1) {
            watts = 0;
        }
        fclose(file);
    }
    if (!meter.count || watts < meter.least) {
        meter.least = watts;
    }
    if (watts > meter.most) {
        meter.most = watts;
    }
    meter.sum += watts;
    meter.count++;
    return watts;
}

/* IPMI numbers are little-endian. */
static void put(unsigned char *at, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        at[i] = (unsigned char)(value >> (8 * i));
    }
}

static void fail(unsigned char completion, unsigned char *reply, unsigned int *length)
{
    reply[0] = completion;
    *length = 1;
}

static void get_capabilities(const msg_t *message, unsigned char *reply,
                             unsigned int *length)
{
    /* Parameter data after completion, group, conformance 1.5 and revision 2. */
    static const struct {
        unsigned char bytes;
        unsigned char data[5];
    } answers[] = {[1] = {3, {0x00, 0x01, 0x07}}, /* power management, in-band, LAN */
                   [2] = {5, {0xe8, 0x03, 0x00, 0x00, 0x01}}, /* 1000 SEL entries */
                   [3] = {2, {0x20, 0x00}},                   /* controller 0x20 */
                   [4] = {3, {0x01, 0xff, 0xff}},             /* channel 1 only */
                   [5] = {1, {0x00}}};                        /* no averaging periods */
    unsigned int parameter;

    if (message->len < 2) {
        fail(COMPLETION_LENGTH, reply, length);
        return;
    }
    parameter = message->data[1];
    if (parameter < 1 || parameter >= sizeof answers / sizeof answers[0]) {
        fail(COMPLETION_PARAMETER, reply, length);
        return;
    }
    reply[2] = 1;
    reply[3] = 5;
    reply[4] = 2;
    memcpy(reply + 5, answers[parameter].data, answers[parameter].bytes);
    *length = 5u + answers[parameter].bytes;
}

static void get_power_reading(const msg_t *message, unsigned char *reply,
                              unsigned int *length)
{
    time_t now = time(NULL);

    if (message->len < 4) {
        fail(COMPLETION_LENGTH, reply, length);
        return;
    }
    put(reply + 2, read_watts(), 2);
    put(reply + 4, meter.least, 2);
    put(reply + 6, meter.most, 2);
    put(reply + 8, (uint32_t)(meter.sum / meter.count), 2);
    put(reply + 10, (uint32_t)now, 4);
    put(reply + 14, (uint32_t)(now - meter.since) * 1000, 4);
    reply[18] = MEASUREMENT_IS_ACTIVE;
    *length = 19;
}

static void handle(lmc_data_t *controller, msg_t *message, unsigned char *reply,
                   unsigned int *length, void *unused)
{
    (void)controller;
    (void)unused;
    reply[0] = 0;
    reply[1] = GROUP_DCMI;
    switch (message->cmd) {
    case GET_CAPABILITIES:
        get_capabilities(message, reply, length);
        break;
    case GET_POWER_READING:
        get_power_reading(message, reply, length);
        break;
    default:
        fail(COMPLETION_INVALID, reply, length);
    }
}

/* The two names that ipmi_sim looks for in a module. */
int ipmi_sim_module_print_version(sys_data_t *system, char *options);
int ipmi_sim_module_init(sys_data_t *system, const char *options);

int ipmi_sim_module_print_version(sys_data_t *system, char *options)
{
    (void)system;
    (void)options;
    puts("dcmi 1.0");
    return 0;
}

int ipmi_sim_module_init(sys_data_t *system, const char *options)
{
    (void)system;
    snprintf(meter.path, sizeof meter.path, "%s", options);
    meter.since = time(NULL);
    ipmi_emu_register_group_extension_handler(GROUP_DCMI, handle, NULL);
    return 0;
}
