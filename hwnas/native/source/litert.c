/* The C API of LiteRT 2.x, litert/c/litert_compiled_model.h, as the library of ai-edge-litert 2.1 to 2.3 has it.
 *
 * It is younger than TFLite's and has changed between releases. Every size that is read from one of its structures is
 * therefore compared with what a function of the library says. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "session.h"

/* litert_common.h and litert_tensor_buffer_types.h */
enum { ACCELERATOR_CPU = 1, LOCK_READ = 0, LOCK_WRITE = 1 };

/* litert_layout.h and litert_model_types.h */
typedef struct {
  int32_t element_type;
  uint32_t rank_and_flags; /* the rank is in the lowest 7 bits */
  int32_t dimensions[MAX_RANK];
  uint32_t strides[MAX_RANK];
  uint32_t reserved[16]; /* for a release whose structure is longer */
} RankedTensorType;

typedef struct LiteRtEnvironment *LiteRtEnvironment;
typedef struct LiteRtModel *LiteRtModel;
typedef struct LiteRtOptions *LiteRtOptions;
typedef struct LiteRtOpaqueOptions *LiteRtOpaqueOptions;
typedef struct LiteRtCompiledModel *LiteRtCompiledModel;
typedef struct LiteRtSignature *LiteRtSignature;
typedef struct LiteRtTensor *LiteRtTensor;
typedef struct LiteRtTensorBuffer *LiteRtTensorBuffer;
typedef struct LiteRtRequirements *LiteRtRequirements;

#define FUNCTIONS(F)                                                                                          \
  F(LiteRtCreateEnvironment, (int, const void *, LiteRtEnvironment *))                                        \
  F(LiteRtCreateModelFromFile, (LiteRtEnvironment, const char *, LiteRtModel *))                              \
  F(LiteRtCreateOptions, (LiteRtOptions *))                                                                   \
  F(LiteRtSetOptionsHardwareAccelerators, (LiteRtOptions, int))                                               \
  F(LiteRtCreateOpaqueOptions, (const char *, void *, void (*)(void *), LiteRtOpaqueOptions *))               \
  F(LiteRtAddOpaqueOptions, (LiteRtOptions, LiteRtOpaqueOptions))                                             \
  F(LiteRtCreateCompiledModel, (LiteRtEnvironment, LiteRtModel, LiteRtOptions, LiteRtCompiledModel *))        \
  F(LiteRtGetModelSignature, (LiteRtModel, size_t, LiteRtSignature *))                                        \
  F(LiteRtGetNumSignatureInputs, (LiteRtSignature, size_t *))                                                 \
  F(LiteRtGetNumSignatureOutputs, (LiteRtSignature, size_t *))                                                \
  F(LiteRtGetSignatureInputTensorByIndex, (LiteRtSignature, size_t, LiteRtTensor *))                          \
  F(LiteRtGetSignatureOutputTensorByIndex, (LiteRtSignature, size_t, LiteRtTensor *))                         \
  F(LiteRtGetRankedTensorType, (LiteRtTensor, RankedTensorType *))                                            \
  F(LiteRtGetCompiledModelInputBufferRequirements, (LiteRtCompiledModel, size_t, size_t, LiteRtRequirements *))  \
  F(LiteRtGetCompiledModelOutputBufferRequirements, (LiteRtCompiledModel, size_t, size_t, LiteRtRequirements *)) \
  F(LiteRtCreateManagedTensorBufferFromRequirements,                                                          \
    (LiteRtEnvironment, const RankedTensorType *, LiteRtRequirements, LiteRtTensorBuffer *))                  \
  F(LiteRtGetTensorBufferPackedSize, (LiteRtTensorBuffer, size_t *))                                          \
  F(LiteRtLockTensorBuffer, (LiteRtTensorBuffer, void **, int))                                               \
  F(LiteRtUnlockTensorBuffer, (LiteRtTensorBuffer))                                                           \
  F(LiteRtRunCompiledModel,                                                                                   \
    (LiteRtCompiledModel, size_t, size_t, LiteRtTensorBuffer *, size_t, LiteRtTensorBuffer *))

typedef struct {
#define POINTER(name, arguments) int(*name) arguments;
  FUNCTIONS(POINTER)
#undef POINTER
  LiteRtEnvironment environment;
  LiteRtCompiledModel compiled;
  LiteRtTensorBuffer input, output;
} State;

static void check(Failure failure, int status, const char *what) {
  if (status != 0) fail(failure, "%s failed with status %d", what, status);
}

/* Calls a function of the library by name; while the model is loaded, a failure is the model's. */
#define CALL(function, ...) check(WRONG_MODEL, litert->function(__VA_ARGS__), #function)

static void run(Session *session) {
  State *litert = session->state;
  check(FAILED_RUN, litert->LiteRtRunCompiledModel(litert->compiled, 0, 1, &litert->input, 1, &litert->output),
        "the inference");
}

static void write_input(Session *session, const void *bytes) {
  State *litert = session->state;
  void *memory;
  check(FAILED_RUN, litert->LiteRtLockTensorBuffer(litert->input, &memory, LOCK_WRITE), "locking the input");
  memcpy(memory, bytes, session->input.bytes);
  check(FAILED_RUN, litert->LiteRtUnlockTensorBuffer(litert->input), "unlocking the input");
}

static void read_output(Session *session, void *bytes) {
  State *litert = session->state;
  void *memory;
  check(FAILED_RUN, litert->LiteRtLockTensorBuffer(litert->output, &memory, LOCK_READ), "locking the output");
  memcpy(bytes, memory, session->output.bytes);
  check(FAILED_RUN, litert->LiteRtUnlockTensorBuffer(litert->output), "unlocking the output");
}

static void keep(void *literal) { (void)literal; }

/* CPU kernels of XNNPACK on so many threads; a number below 2 means none but the caller's. */
static LiteRtOptions cpu_options(State *litert, int threads) {
  static char toml[64]; /* the library reads it when the model is compiled */
  snprintf(toml, sizeof toml, "num_threads = %d\n", threads);
  LiteRtOptions options;
  LiteRtOpaqueOptions xnnpack;
  CALL(LiteRtCreateOptions, &options);
  CALL(LiteRtSetOptionsHardwareAccelerators, options, ACCELERATOR_CPU);
  CALL(LiteRtCreateOpaqueOptions, "xnnpack", toml, keep, &xnnpack);
  CALL(LiteRtAddOpaqueOptions, options, xnnpack);
  return options;
}

static Tensor describe(const RankedTensorType *type, const char *side) {
  Tensor described = {.type = type_name(type->element_type, side), .rank = (int)(type->rank_and_flags & 0x7f)};
  if (described.rank > MAX_RANK)
    fail(WRONG_MODEL, "the %s has %d dimensions; at most %d are known", side, described.rank, MAX_RANK);
  described.bytes = type_bytes(described.type);
  for (int i = 0; i < described.rank; i++) {
    if (type->dimensions[i] < 1) fail(WRONG_MODEL, "the %s has no fixed size", side);
    described.shape[i] = type->dimensions[i];
    described.bytes *= (size_t)type->dimensions[i];
  }
  return described;
}

/* The memory of the input or output, and what is in it. */
static LiteRtTensorBuffer make_buffer(State *litert, LiteRtTensor tensor, LiteRtRequirements requirements,
                                      const char *side, Tensor *described) {
  RankedTensorType type = {0};
  LiteRtTensorBuffer buffer;
  size_t bytes;
  CALL(LiteRtGetRankedTensorType, tensor, &type);
  CALL(LiteRtCreateManagedTensorBufferFromRequirements, litert->environment, &type, requirements, &buffer);
  CALL(LiteRtGetTensorBufferPackedSize, buffer, &bytes);
  *described = describe(&type, side);
  if (described->bytes != bytes)
    fail(WRONG_LIBRARY, "the library says the %s has %zu bytes, its structures say %zu; use a release from 2.1 to 2.3",
         side, bytes, described->bytes);
  return buffer;
}

Session open_litert(void *library, const char *path, int threads) {
  State *litert = calloc(1, sizeof *litert);
  if (litert == NULL) fail(WRONG_LIBRARY, "no memory");
#define LOOK_UP(name, arguments) look_up(library, #name, &litert->name);
  FUNCTIONS(LOOK_UP)
#undef LOOK_UP
  LiteRtModel model;
  LiteRtSignature signature;
  LiteRtTensor tensor;
  LiteRtRequirements requirements;
  size_t inputs, outputs;
  Session session = {
      .backend = "litert", .state = litert, .run = run, .write_input = write_input, .read_output = read_output};
  CALL(LiteRtCreateEnvironment, 0, NULL, &litert->environment);
  if (litert->LiteRtCreateModelFromFile(litert->environment, path, &model) != 0)
    fail(WRONG_MODEL, "%s is missing, or no TFLite model", path);
  CALL(LiteRtCreateCompiledModel, litert->environment, model, cpu_options(litert, threads), &litert->compiled);
  CALL(LiteRtGetModelSignature, model, 0, &signature);
  CALL(LiteRtGetNumSignatureInputs, signature, &inputs);
  CALL(LiteRtGetNumSignatureOutputs, signature, &outputs);
  if (inputs != 1 || outputs != 1)
    fail(WRONG_MODEL, "a model must have one input and one output, %s has %zu and %zu", path, inputs, outputs);
  CALL(LiteRtGetSignatureInputTensorByIndex, signature, 0, &tensor);
  CALL(LiteRtGetCompiledModelInputBufferRequirements, litert->compiled, 0, 0, &requirements);
  litert->input = make_buffer(litert, tensor, requirements, "input", &session.input);
  CALL(LiteRtGetSignatureOutputTensorByIndex, signature, 0, &tensor);
  CALL(LiteRtGetCompiledModelOutputBufferRequirements, litert->compiled, 0, 0, &requirements);
  litert->output = make_buffer(litert, tensor, requirements, "output", &session.output);
  return session;
}
