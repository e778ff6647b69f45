/* What hwbench found, as one JSON object on one line of standard output. */
#ifndef HWBENCH_REPORT_H
#define HWBENCH_REPORT_H

#include "options.h"
#include "session.h"
#include "timing.h"

/* Prints it. Its last key is "end": without it the line was cut off. Fails with FAILED_RUN if it cannot be written. */
void print_report(const Options *options, const Session *session, const Timing *timing, double load_us,
                  const unsigned char *output);

#endif
