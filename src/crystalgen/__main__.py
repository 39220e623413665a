from crystalgen.cli import main

raise SystemExit(main())
