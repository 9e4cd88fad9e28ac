using System.Reflection;
using System.Text;
using System.Text.RegularExpressions;
using RepVgg.Runtime.Files;
using RepVgg.Tool.CommandLine;

namespace RepVgg.Tool.Classification;

/// <summary>Writes the code of an application around a model, in the shape of a Model Builder project: the files of the templates repvgg-console and repvgg-web.</summary>
internal static partial class GenerateCommand
{
    // The names in the files of the templates and in their texts.
    private const string ProjectName = "RepVggProject", NamespaceName = "RepVggNamespace", ModelName = "MLModel1";

    // The files that the templates share.
    private const string SharedFiles = "model";

    private static readonly string[] _keywords =
        """
        abstract as base bool break byte case catch char checked class const continue decimal default delegate do double else enum event explicit extern false
        finally fixed float for foreach goto if implicit in int interface internal is lock long namespace new null object operator out override params private
        protected public readonly ref return sbyte sealed short sizeof stackalloc static string struct switch this throw true try typeof uint ulong unchecked
        unsafe ushort using virtual void volatile while
        """.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);

    public static IReadOnlyList<OptionSpec> CommandLineOptions { get; } =
    [
        new("template", "KIND", "what is written: console for a console application, web for a web API (default: console)"),
        new("name", "NAME", "name of the model: of its class and its files (default: MLModel1)"),
        new("model", "MODEL", "put this model into the project: a run folder, or the model.zip of a run (default: none; the project trains one)"),
    ];

    public static int Run(Arguments arguments, Interrupt interrupt)
    {
        string template = arguments.Choice("template", ("console", "console"), ("web", "web"));
        string folder = Path.GetFullPath(Path.TrimEndingDirectorySeparator(arguments.Operand(0))), name = arguments.Text("name") ?? ModelName, project = Path.GetFileName(folder);
        var files = Read(template).Concat(Read(SharedFiles)).ToList();
        string rootNamespace = ToNamespace(project);
        Check(name, project, rootNamespace, WordsOf(files.Where(file => file.Name.EndsWith(".cs", StringComparison.Ordinal)).Select(file => file.Text)));
        if (Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).Any())
            throw new IOException($"The folder '{folder}' exists and is not empty. Choose another one, or remove it.");
        using var model = arguments.Text("model") is { } path ? SavedClassifier.Load(Directory.Exists(path) ? Path.Combine(path, "model.zip") : path, threads: 1) : null;

        interrupt.Defer(() =>
        {
            Directory.CreateDirectory(folder);
            if (model is not null)
                SavedClassifier.Save(model.Context, model.Classifier, Path.Combine(folder, $"{name}.mlnet"));
            foreach (var file in files)
            {
                byte[] text = Encoding.UTF8.GetBytes(Named(file.Text));
                AtomicFile.Write(Path.Combine(folder, Named(file.Name)), stream => stream.Write(text));
            }
        });
        Console.WriteLine($"{folder}: a {(template == "web" ? "web API" : "console application")} with the model {name}.");
        string run = $"dotnet run --project {(folder.Contains(' ') ? $"\"{folder}\"" : folder)}";
        Console.WriteLine(model is null ? $"Train it: {run} -- train FOLDER" : $"Run it: {run}{(template == "web" ? "" : " -- predict IMAGE")}");
        return 0;

        // In one pass, so that a name that is given can be one of those that are replaced.
        string Named(string text) => Placeholder().Replace(text, match => match.Value switch { ProjectName => project, NamespaceName => rootNamespace, _ => name });
    }

    /// <summary>Reads the files of a folder of the templates.</summary>
    private static IEnumerable<(string Name, string Text)> Read(string part)
    {
        var assembly = Assembly.GetExecutingAssembly();
        foreach (string resource in assembly.GetManifestResourceNames().Where(resource => resource.StartsWith(part + "/", StringComparison.Ordinal)).Order(StringComparer.Ordinal))
        {
            using var reader = new StreamReader(assembly.GetManifestResourceStream(resource)!);
            yield return (resource[(part.Length + 1)..], reader.ReadToEnd());
        }
    }

    /// <summary>Makes the name of a project a namespace, as <c>dotnet new</c> does.</summary>
    private static string ToNamespace(string project) => IdentifierStart().Replace(NoIdentifier().Replace(project.Trim(), "_"), "_");

    /// <summary>Gets the words in code that begin with a capital letter, among them all types that it uses.</summary>
    private static HashSet<string> WordsOf(IEnumerable<string> texts) =>
        [.. texts.SelectMany(text => CapitalizedWord().Matches(Comment().Replace(text, "")).Select(match => match.Value)).Except([ProjectName, NamespaceName, ModelName], StringComparer.Ordinal)];

    /// <summary>Refuses names with which the code cannot be compiled.</summary>
    private static void Check(string name, string project, string rootNamespace, HashSet<string> words)
    {
        string[] assemblies = [.. ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator).Select(path => Path.GetFileNameWithoutExtension(path))];
        if (!Identifier().IsMatch(name))
            throw new UsageException($"'{name}', --name, is not a name in C#: it must be letters, digits and underscores, and not begin with a digit.");
        if (name.All(char.IsAsciiLetterLower))
            throw new UsageException($"'{name}', --name, has lower-case letters only. C# keeps such names for itself; give one such as {char.ToUpperInvariant(name[0])}{name[1..]}.");
        if (words.Contains(name))
            throw new UsageException($"'{name}', --name, is a name that the code uses for something else. Give another one.");
        if (rootNamespace.Split('.').FirstOrDefault(part => words.Contains(part) || _keywords.Contains(part)) is { } taken)
            throw new UsageException($"'{taken}', in the name of the folder DIR, is a name that the code uses for something else. Give the folder another name.");
        if (assemblies.Contains(project, StringComparer.OrdinalIgnoreCase))
            throw new UsageException($"'{project}', the name of the folder DIR, is the name of an assembly that the project uses. Give the folder another name.");
    }

    [GeneratedRegex($"{ProjectName}|{NamespaceName}|{ModelName}")]
    private static partial Regex Placeholder();

    [GeneratedRegex(@"^[\p{L}_]\w*$")]
    private static partial Regex Identifier();

    /// <summary>A character that no namespace has, or a point that separates nothing.</summary>
    [GeneratedRegex(@"[^\w.]|^\.|\.(?=\.|$)")]
    private static partial Regex NoIdentifier();

    /// <summary>The place before a digit at the beginning of a part.</summary>
    [GeneratedRegex(@"(?<=^|\.)(?![\p{L}_])")]
    private static partial Regex IdentifierStart();

    [GeneratedRegex(@"//.*")]
    private static partial Regex Comment();

    [GeneratedRegex(@"(?<![\w.])\p{Lu}\w*")]
    private static partial Regex CapitalizedWord();
}
