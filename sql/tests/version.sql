begin;
select plan(2);

select matches(procrastinate_version(), '^\d+\.\d+\.\d+$', 'a version is three numbers');
select results_eq(
    'select version from procrastinate_install', 'select procrastinate_version()',
    'the version is noted by the installation, by whatever tool');

select * from finish();
rollback;
