/* The C API of TFLite, tensorflow/lite/c/c_api.h: its functions and their types have been stable since TensorFlow 2.2. */
#include <stdint.h>
#include <stdlib.h>

#include "failure.h"
#include "session.h"

typedef struct TfLiteModel TfLiteModel;
typedef struct TfLiteInterpreterOptions TfLiteInterpreterOptions;
typedef struct TfLiteInterpreter TfLiteInterpreter;
typedef struct TfLiteTensor TfLiteTensor;

#define FUNCTIONS(F)                                                                                 \
  F(const char *, TfLiteVersion, (void))                                                             \
  F(TfLiteModel *, TfLiteModelCreateFromFile, (const char *))                                        \
  F(TfLiteInterpreterOptions *, TfLiteInterpreterOptionsCreate, (void))                              \
  F(void, TfLiteInterpreterOptionsSetNumThreads, (TfLiteInterpreterOptions *, int32_t))              \
  F(TfLiteInterpreter *, TfLiteInterpreterCreate, (const TfLiteModel *, const TfLiteInterpreterOptions *)) \
  F(int, TfLiteInterpreterAllocateTensors, (TfLiteInterpreter *))                                    \
  F(int, TfLiteInterpreterInvoke, (TfLiteInterpreter *))                                             \
  F(int32_t, TfLiteInterpreterGetInputTensorCount, (const TfLiteInterpreter *))                      \
  F(int32_t, TfLiteInterpreterGetOutputTensorCount, (const TfLiteInterpreter *))                     \
  F(TfLiteTensor *, TfLiteInterpreterGetInputTensor, (const TfLiteInterpreter *, int32_t))           \
  F(const TfLiteTensor *, TfLiteInterpreterGetOutputTensor, (const TfLiteInterpreter *, int32_t))    \
  F(int, TfLiteTensorType, (const TfLiteTensor *))                                                   \
  F(int32_t, TfLiteTensorNumDims, (const TfLiteTensor *))                                            \
  F(int32_t, TfLiteTensorDim, (const TfLiteTensor *, int32_t))                                       \
  F(size_t, TfLiteTensorByteSize, (const TfLiteTensor *))                                            \
  F(int, TfLiteTensorCopyFromBuffer, (TfLiteTensor *, const void *, size_t))                         \
  F(int, TfLiteTensorCopyToBuffer, (const TfLiteTensor *, void *, size_t))

typedef struct {
#define POINTER(result, name, arguments) result(*name) arguments;
  FUNCTIONS(POINTER)
#undef POINTER
  TfLiteInterpreter *interpreter;
} State;

static void run(Session *session) {
  State *tflite = session->state;
  int status = tflite->TfLiteInterpreterInvoke(tflite->interpreter);
  if (status != 0) fail(FAILED_RUN, "the inference failed with status %d", status);
}

static void write_input(Session *session, const void *bytes) {
  State *tflite = session->state;
  TfLiteTensor *tensor = tflite->TfLiteInterpreterGetInputTensor(tflite->interpreter, 0);
  if (tflite->TfLiteTensorCopyFromBuffer(tensor, bytes, session->input.bytes) != 0)
    fail(FAILED_RUN, "the input could not be written");
}

static void read_output(Session *session, void *bytes) {
  State *tflite = session->state;
  const TfLiteTensor *tensor = tflite->TfLiteInterpreterGetOutputTensor(tflite->interpreter, 0);
  if (tflite->TfLiteTensorCopyToBuffer(tensor, bytes, session->output.bytes) != 0)
    fail(FAILED_RUN, "the output could not be read");
}

static Tensor describe(const State *tflite, const TfLiteTensor *tensor, const char *side) {
  Tensor described = {.type = type_name(tflite->TfLiteTensorType(tensor), side),
                      .rank = tflite->TfLiteTensorNumDims(tensor),
                      .bytes = tflite->TfLiteTensorByteSize(tensor)};
  if (described.rank < 0 || described.rank > MAX_RANK)
    fail(WRONG_MODEL, "the %s has %d dimensions; at most %d are known", side, described.rank, MAX_RANK);
  for (int i = 0; i < described.rank; i++) described.shape[i] = tflite->TfLiteTensorDim(tensor, i);
  return described;
}

Session open_tflite(void *library, const char *path, int threads) {
  State *tflite = calloc(1, sizeof *tflite);
  if (tflite == NULL) fail(WRONG_LIBRARY, "no memory");
#define LOOK_UP(result, name, arguments) look_up(library, #name, &tflite->name);
  FUNCTIONS(LOOK_UP)
#undef LOOK_UP
  TfLiteModel *model = tflite->TfLiteModelCreateFromFile(path);
  if (model == NULL) fail(WRONG_MODEL, "%s is missing, or no TFLite model", path);
  TfLiteInterpreterOptions *options = tflite->TfLiteInterpreterOptionsCreate();
  tflite->TfLiteInterpreterOptionsSetNumThreads(options, threads);
  tflite->interpreter = tflite->TfLiteInterpreterCreate(model, options);
  if (tflite->interpreter == NULL) fail(WRONG_MODEL, "the runtime cannot build %s", path);
  if (tflite->TfLiteInterpreterAllocateTensors(tflite->interpreter) != 0)
    fail(WRONG_MODEL, "the runtime cannot prepare %s", path);
  int inputs = tflite->TfLiteInterpreterGetInputTensorCount(tflite->interpreter);
  int outputs = tflite->TfLiteInterpreterGetOutputTensorCount(tflite->interpreter);
  if (inputs != 1 || outputs != 1)
    fail(WRONG_MODEL, "a model must have one input and one output, %s has %d and %d", path, inputs, outputs);
  return (Session){
      .backend = "tflite",
      .runtime_version = tflite->TfLiteVersion(),
      .input = describe(tflite, tflite->TfLiteInterpreterGetInputTensor(tflite->interpreter, 0), "input"),
      .output = describe(tflite, tflite->TfLiteInterpreterGetOutputTensor(tflite->interpreter, 0), "output"),
      .state = tflite,
      .run = run,
      .write_input = write_input,
      .read_output = read_output,
  };
}
