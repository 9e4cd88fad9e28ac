#if MLNET_STANDIN
using RepVgg.Conformance;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Standin;

/// <summary>The stand-in shows nothing that ML.NET 5.0.0 does not show, and the tool that says so can tell.</summary>
public sealed class ConformanceTests
{
    private static readonly string[] s_list = File.ReadAllLines(Path.Combine(AppContext.BaseDirectory, "mlnet-5.0.0-surface.txt"));
    private static readonly Surface s_standin = new SurfacePrinter(details: false).Print(typeof(MLContext).Assembly);

    [Fact]
    public void TheStandinShowsNothingThatMLNetDoesNot()
    {
        Assert.Empty(Comparison.Differences(s_standin, Surface.Parse(s_list)));
        Assert.InRange(s_standin.Types.Count, 100, 1000);
    }

    [Fact]
    public void TheListIsReadWhole()
    {
        Surface list = Surface.Parse(s_list);

        Assert.Equal(s_list.Count(line => line.Length > 0 && line[0] is not (' ' or ';' or '#')), list.Types.Count);
        Assert.Equal(s_list.Count(line => line.StartsWith("  ")), list.Types.Sum(type => type.Members.Count));
        Assert.All(list.Types, type => Assert.Contains(type.Header, s_list));
    }

    public static TheoryData<string, string, string> Alterations() => new()
    {
        // The list is altered, so that the stand-in has what the list has not: line, its replacement, the report.
        { "  int BitsPerPixel { get; }", "", "surplus member: Microsoft.ML.Data.MLImage: int BitsPerPixel { get; }" },
        { "  string Tag { get; set; }", "  string Tag { get; }", "surplus member: Microsoft.ML.Data.MLImage: string Tag { get; set; } (the real one: string Tag { get; })" },
        { "  Rgba32 = 2", "  Rgba32 = 3", "surplus member: Microsoft.ML.Data.MLPixelFormat: Rgba32 = 2 (the real one: Rgba32 = 3)" },
        { "  void Save(string imagePath)", "  static void Save(string imagePath)", "surplus member: Microsoft.ML.Data.MLImage: void Save(string imagePath)" },
        { "  new(int height, int width)", "  protected new(int height, int width)", "surplus member: Microsoft.ML.Transforms.Image.ImageDataViewType: new(int height, int width)" },
        { "sealed class Microsoft.ML.Data.MLImage : System.IDisposable", "class Microsoft.ML.Data.MLImage : System.IDisposable", "another kind of type: Microsoft.ML.Data.MLImage: 'sealed class', should be 'class'" },
        { "sealed class Microsoft.ML.Data.MLImage : System.IDisposable", "sealed class Microsoft.ML.Data.MLImage", "wrong base type or interface: Microsoft.ML.Data.MLImage: System.IDisposable" },
        { "sealed class Microsoft.ML.Data.MLImage : System.IDisposable", "sealed class Microsoft.ML.Data.MLPicture", "surplus type: sealed class Microsoft.ML.Data.MLImage : System.IDisposable" },
        { "delegate void Microsoft.ML.ValueGetter<TValue>(ref TValue value)", "delegate void Microsoft.ML.ValueGetter<TValue>(out TValue value)", "another kind of type: Microsoft.ML.ValueGetter<TValue>" },
        { "  System.Nullable<long> GetRowCount()", "  System.Nullable<long> GetRowCount()\n  void Close()", "missing abstract member: Microsoft.ML.IDataView: void Close()" },
        { "  abstract bool MoveNext()", "  abstract bool MoveNext()\n  protected abstract void Close()", "missing abstract member: Microsoft.ML.DataViewRowCursor: protected abstract void Close()" },
    };

    [Theory]
    [MemberData(nameof(Alterations))]
    public void ADifferenceIsReported(string line, string replacement, string report)
    {
        Assert.Contains(line, s_list);
        IEnumerable<string> altered = s_list.SelectMany(other => other == line ? replacement.Split('\n') : [other]);

        List<string> differences = Comparison.Differences(s_standin, Surface.Parse(altered));

        Assert.Contains(differences, difference => difference.StartsWith(report));
        Assert.DoesNotContain(Comparison.Differences(s_standin, Surface.Parse(s_list)), difference => difference.StartsWith(report));
    }

    [Fact]
    public void AChangedDefaultValueIsReported()
    {
        string[] altered = [.. s_list.Select(line => line.Replace("float scaleImage = 1", "float scaleImage = 2"))];

        List<string> differences = Comparison.Differences(s_standin, Surface.Parse(altered));

        Assert.Contains(differences, difference => difference.Contains("ExtractPixels") && difference.Contains("float scaleImage = 1"));
    }

    [Fact]
    public void DetailsAreShownOnDemand()
    {
        SurfaceType sample = new SurfacePrinter(details: true).Print(typeof(ISample<,>)), plain = new SurfacePrinter(details: false).Print(typeof(ISample<,>));

        Assert.Equal("interface where TIn : in where TOut : out, class, new()", sample.Kind);
        Assert.Equal(["T Method<T>(ref int number, params string[] names) where T : struct, System.IDisposable [Obsolete True] modreq(InAttribute)"], sample.Members);
        Assert.Equal("interface", plain.Kind);
        Assert.Equal(["T Method<T>(ref int number, params string[] names)"], plain.Members);
        Assert.Equal("enum byte [Flags]", new SurfacePrinter(details: true).Print(typeof(Bits)).Kind);
        Assert.Equal("enum", new SurfacePrinter(details: false).Print(typeof(Bits)).Kind);
    }

    /// <summary>Shows variance, constraints, modifiers and attributes.</summary>
    public interface ISample<in TIn, out TOut>
        where TOut : class, new()
    {
        [Obsolete("There is another one.", error: true)]
        T Method<T>(in int number, params string[] names)
            where T : struct, IDisposable;
    }

    /// <summary>Has an unusual type behind it.</summary>
    [Flags]
    public enum Bits : byte
    {
        /// <summary>One.</summary>
        One = 1,
    }
}
#endif
