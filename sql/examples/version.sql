select procrastinate_version();
