from swath.cli import main

raise SystemExit(main())
