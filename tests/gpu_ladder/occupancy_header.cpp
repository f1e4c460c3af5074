// NVIDIA's own occupancy calculator, for the test that compares occupancy.py with it.
#include <cstddef>
#include <cstring>

#include "cuda_occupancy.h"

extern "C" int header_blocks(int major, int shared_sm, int shared_block, int threads, int registers,
                             int shared_bytes) {
  cudaOccDeviceProp device;
  memset(&device, 0, sizeof device);
  device.computeMajor = major;
  device.maxThreadsPerBlock = 1024;
  device.maxThreadsPerMultiprocessor = 2048;
  device.regsPerBlock = device.regsPerMultiprocessor = 65536;
  device.warpSize = 32;
  device.sharedMemPerBlock = 48 << 10;
  device.sharedMemPerMultiprocessor = shared_sm;
  device.sharedMemPerBlockOptin = shared_block;
  device.reservedSharedMemPerBlock = 1024;
  device.numSms = 1;

  cudaOccFuncAttributes kernel;
  memset(&kernel, 0, sizeof kernel);
  kernel.maxThreadsPerBlock = 1024;
  kernel.numRegs = registers;
  kernel.partitionedGCConfig = PARTITIONED_GC_OFF;
  kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
  kernel.maxDynamicSharedSizeBytes = shared_block;

  cudaOccDeviceState state;
  memset(&state, 0, sizeof state);
  state.carveoutConfig = SHAREDMEM_CARVEOUT_DEFAULT;

  cudaOccResult result;
  const int error = cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &kernel, &state,
                                                            threads, shared_bytes);
  return error ? -error : result.activeBlocksPerMultiprocessor;
}
