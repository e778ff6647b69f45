/* One loaded model with one input and one output, whichever of the two C APIs of TFLite runs it.
 *
 * Neither needs headers: the functions are looked up in the library by name. The C API of TFLite (LiteRT 1.x) is the
 * stable one; LiteRT 2.x has another and lacks the first. */
#ifndef HWBENCH_SESSION_H
#define HWBENCH_SESSION_H

#include <stddef.h>

enum { MAX_RANK = 8 };

typedef struct {
  const char *type; /* "float32", "uint8" or "int8" */
  int rank;
  int shape[MAX_RANK]; /* as in the file: NHWC for an image */
  size_t bytes;
} Tensor;

typedef struct Session Session;

struct Session {
  const char *backend;         /* "tflite" or "litert": which C API */
  const char *runtime_version; /* as the library says it; NULL if it does not */
  Tensor input, output;
  void *state;
  void (*run)(Session *);                       /* one inference, or fails with FAILED_RUN */
  void (*write_input)(Session *, const void *); /* input.bytes of them */
  void (*read_output)(Session *, void *);       /* output.bytes of them */
};

/* Loads the library, then the model for `threads` threads. Fails with WRONG_LIBRARY or WRONG_MODEL. */
Session open_session(const char *library, const char *model, int threads);

/* One for each C API; `library` is a handle of dlopen. */
Session open_tflite(void *library, const char *model, int threads);
Session open_litert(void *library, const char *model, int threads);

/* Puts the address of a function of the library at `function`, a pointer to a function pointer. */
void look_up(void *library, const char *name, void *function);

/* The name of an element type by its number, which is the same in both APIs. Fails with WRONG_MODEL for others than
 * the three; `side` is "input" or "output". */
const char *type_name(int type, const char *side);

/* Bytes of one element of that type. */
size_t type_bytes(const char *name);

#endif
