from vfi_pipeline.openmp import wait_passively

wait_passively()
