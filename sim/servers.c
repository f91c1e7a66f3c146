/* SPDX-License-Identifier: Apache-2.0
 *
 * servers.c - servers of which somebody measured and published the power.
 *
 * Watts at 0, 10 ... 100 % of their throughput.  What they draw switched off and while
 * they boot is not published: both are assumed, but for autoscale2012, where the paper
 * has them (0 and 200 W).
 */
#include "greensim.h"

#include <string.h>

/* The first one where no other is named. */
static const gs_published_t published[] = {
    {"autoscale2012",
     "2 x quad-core Xeon 2.26 GHz; straight line from idle to busy",
     "Gandhi et al., ACM TOCS 30(4), 2012, section 2.1",
     {140, 146, 152, 158, 164, 170, 176, 182, 188, 194, 200},
     0,
     200},
    {"ml110g4-2006",
     "HP ML110 G4 Xeon 3040",
     "SPECpower_ssj2008, published Feb-17-2011",
     {86, 89.4, 92.6, 96, 99.5, 102, 106, 108, 112, 114, 117},
     6,
     110},
    {"pe2950-2007",
     "Dell PowerEdge 2950 III E5440",
     "SPECpower_ssj2008, published Dec-11-2007",
     {157, 173, 189, 204, 217, 230, 243, 253, 262, 270, 276},
     10,
     240},
    {"ml110g5-2008",
     "HP ML110 G5 Xeon 3075",
     "SPECpower_ssj2008, published Feb-17-2011",
     {93.7, 97, 101, 105, 110, 116, 121, 125, 129, 133, 135},
     6,
     125},
    {"r610-2010",
     "Dell R610 X5670",
     "SPECpower_ssj2008, published Aug-11-2010",
     {61.9, 102, 115, 126, 137, 149, 160, 176, 195, 218, 242},
     8,
     170},
    {"r720-2012",
     "Dell R720 E5-2660",
     "SPECpower_ssj2008, published Nov-28-2012",
     {52.3, 75.4, 86.6, 98.3, 112, 124, 140, 161, 178, 201, 231},
     8,
     150},
    {"r740-2017",
     "Dell R740 Platinum 8180",
     "SPECpower_ssj2008 result 20170829-00780",
     {52.3, 129, 147, 170, 195, 224, 255, 292, 344, 408, 457},
     8,
     200},
    {"dl325g10-2019",
     "HPE DL325 Gen10 EPYC 7702P",
     "SPECpower_ssj2008, published Aug-7-2019",
     {70.3, 109, 125, 143, 161, 174, 185, 195, 205, 215, 224},
     8,
     160},
    {"dl325g10p-2021",
     "HPE DL325 Gen10+ EPYC 7763",
     "SPECpower_ssj2008, published Mar-15-2021",
     {56.8, 100, 116, 130, 143, 162, 191, 211, 231, 250, 268},
     8,
     170},
    {"rx1330m5-2022",
     "Fujitsu RX1330 M5 E-2388G",
     "SPECpower_ssj2008, published Jan-19-2022",
     {17.9, 21.8, 24.9, 27.7, 30.7, 35, 39.4, 43.7, 49.6, 57.4, 70.5},
     3,
     40},
    {"dl385g10p-2022",
     "HPE DL385 Gen10+ EPYC 7773X",
     "SPECpower_ssj2008, published Mar-24-2022",
     {101, 207, 237, 265, 292, 328, 359, 417, 451, 507, 548},
     10,
     330},
};

const gs_published_t *gs_published(uint32_t index)
{
    return index < sizeof published / sizeof published[0] ? &published[index] : NULL;
}

const gs_published_t *gs_published_find(const char *name)
{
    const gs_published_t *found;

    for (uint32_t i = 0; (found = gs_published(i)); i++) {
        if (strcmp(found->name, name) == 0) {
            break;
        }
    }
    return found;
}
