package shop;

/** java -jar target/shop.jar publish | results N | post. */
final class Main {
    private Main() {}

    public static void main(String[] words) throws Exception {
        switch (words.length == 0 ? "" : words[0]) {
            case "publish" -> Publish.run();
            case "results" -> Results.run(Integer.parseInt(words[1]));
            case "post" -> Post.run();
            default -> {
                System.err.println("say publish, results N or post");
                System.exit(2);
            }
        }
    }
}
