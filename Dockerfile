# Two images: the worker, with PyTorch, and the client, without.
#
#     docker build -t cvq .                                  # the worker, CUDA inside its wheels
#     docker build -t cvq-client --target client .
#     docker build -t cvq-cpu --build-arg TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu .
#
# Packages come before the code, and from a list of their own: a change of the code installs
# nothing anew.
FROM python:3.13-slim AS requirements
COPY pyproject.toml .
RUN python -c "import tomllib; \
project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
extras = project['optional-dependencies']; \
torch = [name for name in extras['worker'] if name.startswith('torch')]; \
lists = {'client': project['dependencies'] + extras['postgres'] + extras['s3'], \
         'torch': torch, 'worker': extras['worker']}; \
[open(f'/{name}.txt', 'w').write('\n'.join(found) + '\n') for name, found in lists.items()]"

FROM python:3.13-slim AS code
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY cvq cvq
COPY cli cli
COPY workers workers
COPY migrations migrations
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM python:3.13-slim AS client-packages
RUN useradd --create-home cvq && install -d -o cvq -g cvq -m 700 /var/lib/cvq
COPY --from=requirements /client.txt /requirements/
RUN pip install --no-cache-dir --only-binary :all: -r /requirements/client.txt
WORKDIR /home/cvq
ENV CVQ_HOME=/var/lib/cvq PYTHONUNBUFFERED=1
ENTRYPOINT ["cvq"]

FROM client-packages AS worker-packages
# The index of PyTorch's wheels, where it is another than pip's own: CPU, or another CUDA.
ARG TORCH_INDEX_URL=
COPY --from=requirements /torch.txt /worker.txt /requirements/
RUN pip install --no-cache-dir --only-binary :all: \
    ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} -r /requirements/torch.txt
RUN pip install --no-cache-dir --only-binary :all: -r /requirements/worker.txt

FROM client-packages AS client
COPY --from=code /wheel /wheel
RUN pip install --no-cache-dir --no-deps /wheel/*.whl
USER cvq
CMD ["--help"]

FROM worker-packages AS worker
COPY --from=code /wheel /wheel
RUN pip install --no-cache-dir --no-deps /wheel/*.whl
USER cvq
CMD ["worker"]
