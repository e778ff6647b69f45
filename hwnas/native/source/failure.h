/* How hwbench ends when it cannot go on: one line on standard error, and an exit code that says what was at fault. */
#ifndef HWBENCH_FAILURE_H
#define HWBENCH_FAILURE_H

typedef enum {
  WRONG_USAGE = 2,  /* an option is unknown, missing or malformed */
  WRONG_LIBRARY,    /* the runtime library cannot be used */
  WRONG_MODEL,      /* the model, its input file or its output file cannot be used */
  FAILED_RUN,       /* an inference failed */
} Failure;

/* Prints "hwbench: " and the message, as printf does, and exits with `failure`. */
_Noreturn void fail(Failure failure, const char *message, ...) __attribute__((format(printf, 2, 3)));

#endif
