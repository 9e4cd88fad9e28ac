using System.Reflection;
using System.Text;
using RepVgg.Runtime.Files;
using RepVgg.Tool.CommandLine;

namespace RepVgg.Tool.Classification;

/// <summary>Writes the code of a console application around a model, in the shape of a Model Builder project: the files of the template repvgg-console.</summary>
internal static class GenerateCommand
{
    // The names in the template's files and texts.
    private const string Prefix = "repvgg-console/", ProjectName = "RepVggConsole", ModelName = "MLModel1";

    public static IReadOnlyList<OptionSpec> CommandLineOptions { get; } =
    [
        new("name", "NAME", "name of the model: of its class and its files (default: MLModel1)"),
    ];

    public static int Run(Arguments arguments, Interrupt interrupt)
    {
        string folder = Path.GetFullPath(arguments.Operand(0)), name = arguments.Text("name") ?? ModelName, project = Path.GetFileName(Path.TrimEndingDirectorySeparator(folder));
        CheckIdentifier("--name", name);
        CheckIdentifier("the name of the folder DIR", project);
        if (name == project)
            throw new UsageException($"The model has the name of the folder, '{name}', which is the namespace of the code. Give another one.");
        if (Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).Any())
            throw new IOException($"The folder '{folder}' exists and is not empty. Choose another one, or remove it.");

        var assembly = Assembly.GetExecutingAssembly();
        interrupt.Defer(() =>
        {
            Directory.CreateDirectory(folder);
            foreach (string resource in assembly.GetManifestResourceNames().Where(resource => resource.StartsWith(Prefix, StringComparison.Ordinal)).Order(StringComparer.Ordinal))
            {
                using var reader = new StreamReader(assembly.GetManifestResourceStream(resource)!);
                string path = Path.Combine(folder, Named(resource[Prefix.Length..]));
                byte[] text = Encoding.UTF8.GetBytes(Named(reader.ReadToEnd()));
                AtomicFile.Write(path, stream => stream.Write(text));
            }
        });
        Console.WriteLine($"{folder}: a console application with the model {name}.");
        Console.WriteLine($"Train it: dotnet run --project {folder} -- train FOLDER");
        return 0;

        string Named(string text) => text.Replace(ModelName, name, StringComparison.Ordinal).Replace(ProjectName, project, StringComparison.Ordinal);
    }

    private static void CheckIdentifier(string what, string name)
    {
        if (name.Length == 0 || !(char.IsAsciiLetter(name[0]) || name[0] == '_') || !name.All(c => char.IsAsciiLetterOrDigit(c) || c == '_'))
            throw new UsageException($"'{name}', {what}, is not a name in C#: it must be letters, digits and underscores, and not begin with a digit.");
    }
}
