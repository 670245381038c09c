# What the application's image starts from: Python and nothing that a host needs.
ARG ROOT
FROM ${ROOT}
COPY . /build/
RUN sh /build/python.sh
ENV LANG=C.UTF-8 PYTHONUNBUFFERED=1
CMD ["python3"]
