# One image for every service: the client and the worker, with CUDA inside PyTorch's own wheels.
#
#     docker build -t cvq .
#     docker build -t cvq-client --build-arg EXTRAS=postgres,s3 .     # without PyTorch
FROM python:3.13-slim

ARG EXTRAS=worker,postgres,s3
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY cvq cvq
COPY cli cli
COPY workers workers
COPY migrations migrations
RUN pip install --no-cache-dir ".[${EXTRAS}]" && rm -rf /src

RUN useradd --create-home cvq && install -d -o cvq -g cvq /var/lib/cvq
USER cvq
WORKDIR /home/cvq
ENV CVQ_HOME=/var/lib/cvq PYTHONUNBUFFERED=1
ENTRYPOINT ["cvq"]
CMD ["worker"]
