#!/bin/sh
# Stands for Google's benchmark_model, which cannot be had here. It takes its flags and prints what its builds print, and
# runs no model: every time in it is made up from the size of the model's file, and means nothing.
build=new # tests put another one here

case $build in
  old) known='graph num_threads warmup_runs num_runs use_nnapi enable_op_profiling' ;;
  plain) known='graph num_threads warmup_runs warmup_min_secs num_runs min_secs max_secs use_xnnpack use_gpu' ;;
  *) known='graph num_threads warmup_runs warmup_min_secs num_runs min_secs max_secs use_xnnpack use_gpu use_nnapi
    disable_nnapi_cpu enable_op_profiling' ;;
esac

say() { # new builds log to standard error, with a severity
  case $build in
    old) printf '%s\n' "$1" ;;
    *) printf 'INFO: %s\n' "$1" >&2 ;;
  esac
}

for argument in "$@"; do
  name=${argument%%=*} value=${argument#*=}
  name=${name#--}
  if [ "$name" = help ]; then
    echo "usage: $0 <flags>" >&2
    echo Flags: >&2
    for flag in $known; do
      printf '\t--%s=0\tstring\toptional\tsome words\n' "$flag" >&2
    done
    exit 1
  fi
  case " $(echo $known) " in
    *" $name "*) eval "$name=\$value" ;;
    *)
      echo "Unconsumed cmdline flags: $argument" >&2
      exit 1
      ;;
  esac
done

say 'STARTING!'
say "Min num runs: [$num_runs]"
say "Num threads: [$num_threads]"
say "Warmup seconds: [$warmup_min_secs], seconds: [$min_secs] to [$max_secs]"
say "Process $(taskset -p $$)"
size=$(wc -c < "$graph") || exit 1
us=$((size * 10 / num_threads))
case $build in
  crash) kill -s SEGV $$ ;;
  hang) exec sleep 1000 ;;
  damaged)
    printf 'ERROR: Didn'"'"'t find op for builtin opcode %s\n' "'GELU' version '2'" >&2
    exit 1
    ;;
esac
if [ "$use_xnnpack" = true ] || [ $build = always_xnnpack ]; then
  say 'Created TensorFlow Lite XNNPACK delegate for CPU.'
fi
for delegate in "GPU $use_gpu" "NNAPI $use_nnapi"; do
  case "$build $delegate" in
    *false | *' ') ;;
    fallback*) say "Though ${delegate% *} delegate is explicitly applied, the model graph will not be executed by the delegate." ;;
    partly*)
      printf 'ERROR: Following operations are not supported by GPU delegate:\nUNPACK: \033[31m[/red]\n' >&2
      echo '10 operations will run on the GPU, and the remaining 2 operations will run on the CPU.' >&2
      say "Explicitly applied ${delegate% *} delegate, and the model graph will be partially executed by the delegate w/ 1 delegate kernels."
      ;;
    *) say "Explicitly applied ${delegate% *} delegate, and the model graph will be completely executed by the delegate." ;;
  esac
done
say "Initialized session in 1.5ms."
say "Running benchmark for at least $warmup_runs iterations"
say "count=4 first=$((us * 2)) curr=$us min=$us max=$((us * 2)) avg=$((us * 5 / 4)) std=1"
[ $build = half ] && exit 0
say "Running benchmark for at least $num_runs iterations"
runs="count=50 first=$us curr=$us min=$((us - 2)) max=$((us + 4)) avg=$((us + 1)) std=2"
case $build in
  old | plain) say "$runs" ;;
  *) say "$runs p5=$((us - 1)) median=$us p95=$((us + 3))" ;;
esac
say "Inference timings in us: Init: 1500, First inference: $((us * 2)), Warmup (avg): $((us * 5 / 4)), Inference (avg): $((us + 1))"
if [ "$enable_op_profiling" = true ]; then
  say 'Operator-wise Profiling Info for Regular Benchmark Runs:'
  echo '============================== Run Order ==============================' >&2
  printf '\t%24s\t%9s\t%9s\t%8s\t%8s\t%10s\t%9s\t%s\n' \
    '[node type]' '[first]' '[avg ms]' '[%]' '[cdf%]' '[mem KB]' '[times called]' '[Name]' \
    'Convolution (NHWC, F32) GEMM' "$((us / 1000)).000" "$((us / 2000)).000" '50.000%' '50.000%' 0.000 2 'Delegate/Convolution (NHWC, F32) GEMM:0' >&2
  echo >&2
fi
