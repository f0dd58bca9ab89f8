# Never built where it was written: no container engine was at hand. Report what fails.
FROM python:3.12-slim
WORKDIR /opt/vsbench
COPY . .
RUN pip install --no-cache-dir '.[networks]'
# Mount data, weights and results: docker run --gpus all --shm-size 8g -v DATA:/data -v RESULTS:/work/results …
ENV VSBENCH_DATA=/data VSBENCH_WEIGHTS=/weights
WORKDIR /work
ENTRYPOINT ["vsbench"]
