from crystalgen.pipeline.cli import main

raise SystemExit(main())
