from crystalgen.workflow.cli import main

raise SystemExit(main())
