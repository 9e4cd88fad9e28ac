using System.Reflection;
using RepVgg.Conformance;

// Prints what the stand-in's public surface has and ML.NET's has not; 0: nothing, 1: something, 2: wrong use.
try
{
    const string list = "mlnet-5.0.0-surface.txt";
    string[] lines = File.ReadAllLines(Path.Combine(AppContext.BaseDirectory, list));
    string[] names = [.. lines.Where(line => line.StartsWith('#')).Select(line => line[1..].Trim())];
    if (args is ["--print", var printed])
    {
        // The list itself, made from real assemblies.
        foreach (Assembly assembly in RealAssemblies.Load(printed, names))
        {
            Console.WriteLine($"# {assembly.GetName().Name}");
            foreach (SurfaceType type in new SurfacePrinter(details: false).Print(assembly).Types)
            {
                Console.WriteLine(type.Header);
                foreach (string member in type.Members)
                    Console.WriteLine($"  {member}");
            }
        }
        return 0;
    }
    if (args.Length > 1 || args is [['-', ..]])
    {
        Console.Error.WriteLine("Usage: conformance [FOLDER]           compares the stand-in with the list, and with the assemblies in FOLDER");
        Console.Error.WriteLine("       conformance --print FOLDER     prints the surface of the assemblies in FOLDER as the list does");
        Console.Error.WriteLine("FOLDER may also be given by the environment variable MLNetAssemblies.");
        return 2;
    }

    Assembly standin = typeof(Microsoft.ML.MLContext).Assembly;
    Surface surface = new SurfacePrinter(details: false).Print(standin);
    int members = surface.Types.Sum(type => type.Members.Count);
    int found = Report(Comparison.Differences(surface, Surface.Parse(lines)), list);

    string? folder = args.FirstOrDefault() ?? Environment.GetEnvironmentVariable("MLNetAssemblies");
    if (!string.IsNullOrEmpty(folder))
    {
        var printer = new SurfacePrinter(details: true);
        found += Report(Comparison.Differences(printer.Print(standin), printer.Print(RealAssemblies.Load(folder, names))), folder);
    }
    Console.WriteLine($"The stand-in shows {surface.Types.Count} types with {members} members; {found} differences.");
    return found == 0 ? 0 : 1;
}
catch (Exception e) when (e is IOException or InvalidDataException or BadImageFormatException or ReflectionTypeLoadException)
{
    Console.Error.WriteLine(e.Message);
    return 2;
}

static int Report(List<string> differences, string with)
{
    foreach (string difference in differences)
        Console.WriteLine(difference);
    Console.WriteLine($"{differences.Count} differences from {with}.");
    return differences.Count;
}
